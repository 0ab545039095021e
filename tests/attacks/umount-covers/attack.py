from kit import *

import errno
# What is there is no place where anything is mounted: the question is only whether it is heard.
result = call("umount2", b"/usr/bin", 2)
harm(os.strerror(-result)) if -result == errno.EINVAL else held(os.strerror(-result))
