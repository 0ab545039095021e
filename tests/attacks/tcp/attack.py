import socket

from kit import *

socket.create_connection(("127.0.0.1", int(param("TCP"))), 60)
harm("connected")
