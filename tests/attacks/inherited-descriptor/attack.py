from kit import *

for fd in range(3, 256):
    try:
        os.lseek(fd, 0, os.SEEK_SET)
        if secret().encode() in os.read(fd, 4096):
            harm(fd)
    except OSError:
        pass
held(os.listdir("/proc/self/fd"))
