from kit import *

past_the_gate("localhost:" + param("REGISTRY"), b"PUT /secret HTTP/1.1\r\n\r\n")
