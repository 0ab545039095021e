from kit import *

reaches("pivot_root", b"/nonexistent", b"/nonexistent")
