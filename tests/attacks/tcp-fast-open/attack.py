import socket

from kit import *

connection = socket.socket()
connection.sendto(b"x", 0x20000000, ("127.0.0.1", int(param("TCP"))))
harm("sent")
