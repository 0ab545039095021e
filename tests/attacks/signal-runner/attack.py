from kit import *

outside = [int(pid) for pid in filter(str.isdigit, os.listdir("/proc")) if int(pid) not in (os.getpid(), int(param("DRIVER")))]
for pid in outside:
    if pid == 1:
        continue
    try:
        os.kill(pid, 0)
        harm(pid)
    except OSError as error:
        print(error)
held()
