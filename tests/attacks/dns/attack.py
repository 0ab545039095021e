import socket

from kit import *

with open("/etc/resolv.conf") as file:
    servers = [line.split()[1] for line in file if line.startswith("nameserver")]
for server in servers:
    probe = socket.socket(socket.AF_INET6 if ":" in server else socket.AF_INET, socket.SOCK_DGRAM)
    probe.connect((server, 53))
    harm(server)
held("none")
