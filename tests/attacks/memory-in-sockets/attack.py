from kit import *

import signal
kept = []
for _ in range(2000):
    pair = socket.socketpair()
    kept.append(pair)
    for end in pair:
        end.setblocking(False)
        try:
            while True:
                end.send(bytes(1 << 16))
        except BlockingIOError:
            pass
signal.pause()
harm("what is on its way is no process's")
