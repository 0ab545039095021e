from kit import *

import errno
if platform.machine() != "x86_64":
    impossible("this machine has none")
result = call(0x40000000 + 101, 0, 0, 0, 0)
if -result == errno.ENOSYS:
    held("no such call")
harm(result)
