from kit import *

import signal
children = []
for _ in range(10):
    child = os.fork()
    if child == 0:
        block = bytearray(96 << 20)
        for page in range(0, len(block), 4096):
            block[page] = 1
        signal.pause()
    children.append(child)
    # Each goes on holding what the one before it held.
    block = bytearray(96 << 20)
    for page in range(0, len(block), 4096):
        block[page] = 1
    kept = globals().setdefault("kept", [])
    kept.append(block)
# Held until somebody looks.
signal.pause()
harm("all of it")
