import socket

from kit import *

socket.socket(10, socket.SOCK_RAW, 58)
harm("opened")
