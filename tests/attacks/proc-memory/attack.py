from kit import *

pid = param("PID")
with open(f"/proc/{pid}/maps") as maps:
    lines = [line for line in maps if "[heap]" in line or "[stack]" in line]
with open(f"/proc/{pid}/mem", "rb", 0) as memory:
    for line in lines:
        start, end = (int(part, 16) for part in line.split()[0].split("-"))
        memory.seek(start)
        if secret().encode() in memory.read(min(end - start, 1 << 24)):
            harm(line)
held("not found in " + str(len(lines)) + " areas")
