from kit import *

result = call("fanotify_init", 0, 0)
harm("opened") if result >= 0 else held(os.strerror(-result))
