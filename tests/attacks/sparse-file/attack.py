from kit import *

import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with open("huge", "wb") as file:
    try:
        file.truncate(1 << 40)
    except OSError as error:
        held(error.strerror)
harm("a terabyte, in name")
