from kit import *

buffer = ctypes.create_string_buffer(120)
result = call("io_uring_setup", 4, buffer)
harm("opened") if result >= 0 else held(os.strerror(-result))
