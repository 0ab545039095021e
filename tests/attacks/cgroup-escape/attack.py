from kit import *

import glob
for path in glob.glob("/sys/fs/cgroup/**/cgroup.procs", recursive=True)[:200]:
    try:
        with open(path, "w") as file:
            harm(path)
    except OSError as error:
        print(error)
held()
