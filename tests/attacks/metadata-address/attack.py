import socket

from kit import *

probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
# Nothing is sent: that there is a route is enough.
probe.connect(("169.254.169.254", 80))
harm(probe.getsockname())
