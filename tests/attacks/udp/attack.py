import socket

from kit import *

connection = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
connection.settimeout(60)
connection.connect(("127.0.0.1", int(param("UDP"))))
connection.send(b"secret")
harm(connection.recv(100))
