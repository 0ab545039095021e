from kit import *

import fcntl
import pty
child, terminal = pty.fork()
if child == 0:
    try:
        for letter in b"id\n":
            fcntl.ioctl(0, 0x5412, bytes([letter]))
        os._exit(0)
    except OSError:
        os._exit(1)
_, status = os.waitpid(child, 0)
harm("typed") if status == 0 else held(f"status {status}")
