from kit import *

import signal
kept = []
for _ in range(16):
    try:
        fd = os.memfd_create("attack")
    except OSError:
        # Where nothing would count them, there are none: then by what is counted.
        kept.append(bytearray(os.urandom(1 << 20) * 64))
        continue
    for _ in range(64):
        os.write(fd, bytes(1 << 20))
    kept.append(fd)
# Held until somebody looks.
signal.pause()
harm("a gigabyte")
