from kit import *

import signal
library = ctypes.CDLL(None)
library.shmat.restype = ctypes.c_void_p
kept = []
for _ in range(8):
    segment = library.shmget(0, 32 << 20, 0o1600)
    if segment < 0:
        # Where nothing would count them, there are none: then by what is counted.
        kept.append(bytearray(os.urandom(1 << 20) * 32))
        continue
    at = library.shmat(segment, None, 0)
    ctypes.memset(at, 1, 32 << 20)
    library.shmdt(ctypes.c_void_p(at))
signal.pause()
harm("segments are no process's")
