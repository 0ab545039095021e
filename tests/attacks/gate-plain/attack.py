from kit import *

connection = connected(("127.0.0.1", gate()[1] if gate() else int(param("REGISTRY"))))
connection.sendall(f"GET http://127.0.0.1:{param('TCP')}/secret HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
answer = connection.recv(100)
harm(answer) if b" 405 " not in answer else held(answer)
