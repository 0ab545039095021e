from kit import *

result = call("ptrace", 0, 0, 0, 0)
harm("traced") if result == 0 else held(os.strerror(-result))
