from kit import *

os.kill(int(param("PID")), 0)
harm("heard")
