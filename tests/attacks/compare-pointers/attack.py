from kit import *

result = call("kcmp", os.getpid(), os.getpid(), 1, 0, 0)
harm("compared") if result >= 0 else held(os.strerror(-result))
