from kit import *

buffer = ctypes.create_string_buffer(4096)
result = call("syslog", 3, buffer, 4096)
harm("read") if result >= 0 else held(os.strerror(-result))
