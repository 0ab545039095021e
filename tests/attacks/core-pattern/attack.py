from kit import *

with open("/proc/sys/kernel/core_pattern") as file:
    now = file.read()
# What is written is what is there.
with open("/proc/sys/kernel/core_pattern", "w") as file:
    file.write(now)
harm(now)
