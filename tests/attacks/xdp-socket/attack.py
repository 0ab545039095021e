import socket

from kit import *

socket.socket(44, socket.SOCK_RAW, 0)
harm("opened")
