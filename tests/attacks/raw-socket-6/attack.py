import socket

from attack import *

socket.socket(10, socket.SOCK_RAW, 58)
harm("opened")
