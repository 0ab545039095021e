from kit import *

for pid in (param("PID"), os.getppid(), 1):
    try:
        fd = os.open(f"/proc/{pid}/ns/uts", os.O_RDONLY)
    except OSError as error:
        print(error)
        continue
    if call("setns", fd, 0) == 0:
        harm(pid)
held()
