from kit import *

import resource
for which in (resource.RLIMIT_NPROC, resource.RLIMIT_FSIZE, resource.RLIMIT_CORE):
    _, most = resource.getrlimit(which)
    if most == resource.RLIM_INFINITY:
        harm(f"limit {which} is not set")
    try:
        resource.setrlimit(which, (most + 1, most + 1))
        harm(which)
    except (ValueError, OSError) as error:
        print(error)
held()
