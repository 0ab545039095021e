from kit import *

result = call("add_key", b"user", b"regreen-attack", b"x", 1, -2)
harm("added") if result > 0 else held(os.strerror(-result))
