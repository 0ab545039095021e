from kit import *

with open("/proc/sys/kernel/modprobe") as file:
    now = file.read()
# What is written is what is there.
with open("/proc/sys/kernel/modprobe", "w") as file:
    file.write(now)
harm(now)
