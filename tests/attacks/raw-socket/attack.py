import socket

from kit import *

socket.socket(2, socket.SOCK_RAW, 1)
harm("opened")
