from kit import *

status, _ = asked("127.0.0.1:" + param("TCP"))
harm(status) if status == 200 else held(status)
