from kit import *

import signal
os.mkdir("attack")
for part in range(12):
    with open(f"attack/{part}", "wb", 0) as file:
        for _ in range(4):
            file.write(os.urandom(1 << 20))
os.chmod("attack", 0)
signal.pause()
harm("48 MiB")
