from kit import *

os.setpriority(os.PRIO_PROCESS, int(param("PID")), os.getpriority(os.PRIO_PROCESS, int(param("PID"))))
harm("set")
