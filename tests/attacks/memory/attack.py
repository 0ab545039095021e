from kit import *

import signal
block = bytearray(1 << 30)
for page in range(0, len(block), 4096):
    block[page] = 1
# Held until somebody looks.
signal.pause()
harm(len(block))
