from attack import *

reaches("pivot_root", b"/nonexistent", b"/nonexistent")
