import socket

from kit import *

port = int(param("TCP6"))
if not port:
    impossible("no IPv6 here")
socket.create_connection(("::1", port), 60)
harm("connected")
