import socket

from kit import *

path = os.environ.get("SSH_AUTH_SOCK")
if not path:
    held("no variable")
connection = socket.socket(socket.AF_UNIX)
connection.connect(path)
harm("connected")
