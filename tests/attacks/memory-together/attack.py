from kit import *

import signal
for place in ["/tmp", os.path.expanduser("~")]:
    file = open(os.path.join(place, "attack"), "wb", 0)
    os.unlink(file.name)
    for _ in range(80):
        file.write(bytes(1 << 20))
    globals().setdefault("kept", []).append(file)
kept.append(bytearray(os.urandom(1 << 20) * 64))
signal.pause()
harm("nothing is full")
