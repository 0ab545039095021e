from kit import *

import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with open("big", "wb", 0) as file:
    try:
        for _ in range(32):
            file.write(bytes(1 << 20))
        harm("32 MiB") if os.stat("big").st_size > 17 << 20 else held("cut off")
    except OSError as error:
        held(error.strerror)
