from kit import *

harm("made") if call("unshare", 0x10000000) == 0 else held()
