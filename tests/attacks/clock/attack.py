from kit import *

import time
# A clock that cannot be set: only the permission is asked for.
time.clock_settime(time.CLOCK_REALTIME, time.clock_gettime(time.CLOCK_REALTIME))
harm("set")
