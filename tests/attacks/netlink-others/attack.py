import socket

from attack import *

socket.socket(16, socket.SOCK_DGRAM, 15)
harm("opened")
