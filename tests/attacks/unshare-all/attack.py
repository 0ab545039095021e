from kit import *

for flag in (0x20000, 0x40000000, 0x20000000, 0x4000000, 0x8000000, 0x2000000, 0x80):
    if call("unshare", flag) == 0:
        harm(hex(flag))
held()
