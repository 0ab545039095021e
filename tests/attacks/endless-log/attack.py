from kit import *

line = b"x" * 65535 + b"\n"
# Bounded, should nothing bound it.
for _ in range(1 << 20):
    os.write(1, line)
harm("64 GiB")
