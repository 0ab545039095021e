from kit import *

key = int(param("SHM"))
if not key:
    impossible("no shared memory here")
harm("found") if call("shmget", key, 4096, 0) >= 0 else held()
