import socket

from kit import *

connection = socket.socket(socket.AF_INET6)
connection.settimeout(60)
connection.connect(("::ffff:127.0.0.1", int(param("TCP"))))
harm("connected")
