from kit import *

connected(("127.0.0.1", int(param("TCP"))))
harm("connected")
