"""What the attacks are after, outside of the sandbox: it is started by the suite, prints where everything is as one JSON object, and ends
with its standard input. Nothing here listens anywhere but on the loopback."""

import ctypes
import json
import os
import select
import socket
import sys

base = sys.argv[1]
SHM_KEY = 0x72656772 ^ os.getpid()
held_open = open(os.path.join(base, "outside", "regreen-canary-held"), "w")
tcp = socket.create_server(("127.0.0.1", 0))
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind(("127.0.0.1", 0))
abstract = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
abstract.bind("\0regreen-attack-%d" % os.getpid())
abstract.listen(16)
agent_path = os.path.join(base, "outside", "agent.sock")
agent = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
agent.bind(agent_path)
os.chmod(agent_path, 0o666)
agent.listen(16)
try:
    six = socket.create_server(("::1", 0), family=socket.AF_INET6)
except OSError:
    six = None
# Answers whatever is said to it: a registry that anybody could upload to.
registry = socket.create_server(("127.0.0.1", 0))
libc = ctypes.CDLL(None, use_errno=True)
segment = libc.shmget(SHM_KEY, 4096, 0o1000 | 0o666)
print(json.dumps({
    "PID": os.getpid(),
    "TCP": tcp.getsockname()[1],
    "UDP": udp.getsockname()[1],
    "REGISTRY": registry.getsockname()[1],
    "TCP6": six.getsockname()[1] if six else 0,
    "ABSTRACT": "regreen-attack-%d" % os.getpid(),
    "SOCKET": agent_path,
    "SHM": SHM_KEY if segment >= 0 else 0,
}), flush=True)
listeners = [sock for sock in (tcp, abstract, agent, six, registry) if sock]
speaking = []
touched = 0
while True:
    ready, _, _ = select.select(listeners + speaking + [udp, sys.stdin], [], [])
    # Those who came before the question are counted before the answer.
    for sock in ready:
        if sock is udp:
            data, sender = udp.recvfrom(4096)
            udp.sendto(b"got " + data, sender)
            touched += 1
        elif sock is registry:
            speaking.append(registry.accept()[0])
        elif sock in speaking:
            try:
                data = sock.recv(65536)
                if data:
                    sock.sendall(b"got it")
            except OSError:
                data = b""
            if data:
                touched += 1
            else:
                speaking.remove(sock)
                sock.close()
        elif sock in listeners:
            connection, _ = sock.accept()
            connection.close()
            touched += 1
    if sys.stdin in ready:
        if not sys.stdin.readline():
            break
        print(touched, flush=True)
        touched = 0
if segment >= 0:
    libc.shmctl(segment, 0, None)
