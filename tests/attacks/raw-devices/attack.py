from kit import *

import glob
for path in ["/dev/kmsg", "/dev/mem", "/dev/port", "/proc/kcore", "/proc/kmsg", *glob.glob("/dev/[svx]d*"), *glob.glob("/dev/nvme*")]:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        if os.fstat(fd).st_rdev != os.stat("/dev/null").st_rdev:
            harm(path)
    except OSError as error:
        print(path, error)
held()
