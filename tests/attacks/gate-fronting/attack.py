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


status, connection = asked("localhost:" + param("REGISTRY"))
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
try:
    context.wrap_bio(incoming, outgoing, server_hostname="elsewhere.example").do_handshake()
except ssl.SSLWantReadError:
    pass
connection.sendall(outgoing.read())
connection.settimeout(60)
answer = connection.recv(100)
harm(answer) if b"got" in answer else held(answer)
