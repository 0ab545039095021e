import socket

from kit import *

connection = socket.socket(socket.AF_UNIX)
connection.connect(param("SOCKET"))
harm("connected")
