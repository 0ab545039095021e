from kit import *

result = call("keyctl", 0, -3, 1)
harm("has a key ring") if result > 0 else held(os.strerror(-result))
