import socket

from kit import *

connection = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
connection.connect(("239.255.77.77", 9))
harm(connection.getsockname())
