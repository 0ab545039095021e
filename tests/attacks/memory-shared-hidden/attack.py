from kit import *

import mmap
import signal
PR_SET_DUMPABLE = 4
ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0)
block = mmap.mmap(-1, 256 << 20)
for page in range(0, len(block), 4096):
    block[page] = 1
signal.pause()
harm("nobody may look")
