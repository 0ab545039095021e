from kit import *

# Opening is enough; nothing is written.
os.close(os.open("/proc/sysrq-trigger", os.O_WRONLY))
harm("opened")
