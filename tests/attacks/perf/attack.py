from kit import *

attributes = ctypes.create_string_buffer(128)
attributes[4] = 128
attributes[0] = 1
result = call("perf_event_open", attributes, 0, -1, -1, 0)
harm("opened") if result >= 0 else held(os.strerror(-result))
