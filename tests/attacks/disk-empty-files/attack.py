from kit import *

import signal
for part in range(10):
    os.mkdir(f"attack-{part}")
    for one in range(1000):
        os.close(os.open(f"attack-{part}/{one}", os.O_CREAT | os.O_WRONLY))
signal.pause()
harm("10000 files")
