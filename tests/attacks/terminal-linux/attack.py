from kit import *

import errno
import fcntl
import pty
# On a pseudo terminal the kernel does not know it (ENOTTY): it was heard all the same.
_, terminal = pty.openpty()
try:
    fcntl.ioctl(terminal, 0x541C, b"\6")
except OSError as error:
    if error.errno in (errno.ENOTTY, errno.EINVAL):
        harm("heard")
    raise
harm("heard")
