import socket

from kit import *

socket.socket(16, socket.SOCK_DGRAM, 15)
harm("opened")
