from kit import *

result = call("userfaultfd", 1)
harm("opened") if result >= 0 else held(os.strerror(-result))
