from kit import *

import signal
kept = []
for part in range(12):
    file = open(f"attack-{part}", "wb", 0)
    os.unlink(file.name)
    for _ in range(4):
        file.write(os.urandom(1 << 20))
    kept.append(file)
signal.pause()
harm("48 MiB that no listing shows")
