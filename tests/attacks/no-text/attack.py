from kit import *

import random
random.seed(1)
for _ in range(8):
    os.write(1, bytes(byte for byte in random.randbytes(65536) if byte not in (7, 27, 0x9b)))
held()
