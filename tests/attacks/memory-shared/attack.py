from kit import *

import mmap
import signal
kept = []
for _ in range(4):
    if os.fork() == 0:
        signal.pause()
for _ in range(8):
    block = mmap.mmap(-1, 32 << 20)
    for page in range(0, len(block), 4096):
        block[page] = 1
    kept.append(block)
signal.pause()
harm("shared pages are nobody's")
