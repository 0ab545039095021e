from kit import *

result = call("ptrace", 0x4206, int(param("PID")), 0, 0)
if result == 0:
    call("ptrace", 17, int(param("PID")), 0, 0)
    harm("traced")
held(os.strerror(-result))
