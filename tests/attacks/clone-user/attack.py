from kit import *

result = call("clone", 0x10000000 | 17, 0, 0, 0, 0)
if result == 0:
    os._exit(0)
if result > 0:
    os.waitpid(result, 0)
    harm("made")
held(os.strerror(-result))
