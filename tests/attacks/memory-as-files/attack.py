from kit import *

kept = []
for _ in range(16):
    fd = os.memfd_create("attack")
    for _ in range(64):
        os.write(fd, bytes(1 << 20))
    kept.append(fd)
harm("a gigabyte")
