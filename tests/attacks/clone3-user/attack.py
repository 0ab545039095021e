from kit import *

import struct
arguments = ctypes.create_string_buffer(struct.pack("<11Q", 0x10000000, 0, 0, 0, 17, 0, 0, 0, 0, 0, 0))
result = call("clone3", arguments, 88)
if result == 0:
    os._exit(0)
if result > 0:
    os.waitpid(result, 0)
    harm("made")
held(os.strerror(-result))
