import socket

from kit import *

socket.socket(40, socket.SOCK_STREAM, 0)
harm("opened")
