from kit import *

block = bytearray(1 << 30)
for page in range(0, len(block), 4096):
    block[page] = 1
harm(len(block))
