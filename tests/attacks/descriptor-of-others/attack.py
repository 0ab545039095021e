from kit import *

pid = call("pidfd_open", int(param("PID")), 0)
if pid < 0:
    held(os.strerror(-pid))
result = call("pidfd_getfd", pid, 1, 0)
harm("taken") if result >= 0 else held(os.strerror(-result))
