from kit import *

import errno
import struct
os.umask(0)
how = ctypes.create_string_buffer(struct.pack("<QQQ", os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o4755, 0), 24)
result = call("openat2", -100, b"attack-setuid-5", how, 24)
if result < 0:
    held(os.strerror(-result))
mode = os.fstat(result).st_mode
harm(oct(mode)) if mode & 0o4000 else held(oct(mode))
