from kit import *

reaches("init_module", b"", 0, b"")
