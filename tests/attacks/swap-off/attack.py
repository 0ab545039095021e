from attack import *

reaches("swapoff", b"/nonexistent")
