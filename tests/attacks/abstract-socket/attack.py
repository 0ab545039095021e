import socket

from kit import *

connection = socket.socket(socket.AF_UNIX)
connection.connect("\0" + param("ABSTRACT"))
harm("connected")
