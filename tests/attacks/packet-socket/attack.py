import socket

from kit import *

socket.socket(17, socket.SOCK_RAW, 0x0300)
harm("opened")
