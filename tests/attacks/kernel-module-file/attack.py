from kit import *

reaches("finit_module", -1, b"", 0)
