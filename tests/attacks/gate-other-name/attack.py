from kit import *

status, _ = asked("localhost:" + param("TCP"))
harm(status) if status == 200 else held(status)
