from kit import *

reaches("swapoff", b"/nonexistent")
