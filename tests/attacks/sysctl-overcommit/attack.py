from kit import *

with open("/proc/sys/vm/overcommit_memory") as file:
    now = file.read()
# What is written is what is there.
with open("/proc/sys/vm/overcommit_memory", "w") as file:
    file.write(now)
harm(now)
