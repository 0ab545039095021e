import socket

from kit import *

socket.socket(38, socket.SOCK_SEQPACKET, 0)
harm("opened")
