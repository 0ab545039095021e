from kit import *

import socket
name = socket.gethostname()
socket.sethostname(name)
harm(name)
