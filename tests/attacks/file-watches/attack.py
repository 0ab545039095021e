from kit import *

with open("/proc/sys/fs/inotify/max_user_instances") as file:
    most = int(file.read())
library = ctypes.CDLL(None)
count = 0
while count < most * 3 // 4 and library.inotify_init() >= 0:
    count += 1
harm(count) if count == most * 3 // 4 else held(count)
