from kit import *

import resource
now = resource.prlimit(int(param("PID")), resource.RLIMIT_CORE)
resource.prlimit(int(param("PID")), resource.RLIMIT_CORE, now)
harm(now)
