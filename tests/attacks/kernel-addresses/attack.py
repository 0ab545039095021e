from kit import *

with open("/proc/kallsyms") as file:
    harm("read") if any(int(line.split()[0], 16) for line in file.readlines()[:50]) else held("zeros")
