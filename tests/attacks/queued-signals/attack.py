from kit import *

import signal
most = signal.SIGRTMIN
signal.pthread_sigmask(signal.SIG_BLOCK, [most])
library = ctypes.CDLL(None)
count = 0
while count < 10000 and library.sigqueue(os.getpid(), most, None) == 0:
    count += 1
harm(count) if count == 10000 else held(count)
