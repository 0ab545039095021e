import socket
import ssl
import urllib.parse

from kit import *


def asked(target):
    """The status of a CONNECT through the proxy, or a connection of its own where there is none."""
    proxy = os.environ.get("HTTPS_PROXY")
    host, port = target.rsplit(":", 1)
    if not proxy:
        return 200, socket.create_connection((host, int(port)), 60)
    at = urllib.parse.urlsplit(proxy)
    connection = socket.create_connection((at.hostname, at.port), 60)
    connection.settimeout(60)
    connection.sendall(f"CONNECT {target} HTTP/1.1\r\n\r\n".encode())
    return int(connection.recv(4096).split()[1]), connection


socket.create_connection(("127.0.0.1", int(param("TCP"))), 60)
harm("connected")
