from kit import *

import signal
for which in range(1, 32):
    if which not in (signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD):
        signal.signal(which, signal.SIG_IGN)
while True:
    signal.pause()
