from kit import *

import signal
import sys
reader, writer = os.pipe()
for _ in range(8):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            for which in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
                signal.signal(which, signal.SIG_IGN)
            # The end of the pipe is closed by becoming the program: the one who waits knows that it lives.
            os.set_inheritable(writer, False)
            os.execv("/bin/sleep", ["sleep", "1000000"])
        os._exit(0)
os.close(writer)
os.read(reader, 1)
harm("they stay")
