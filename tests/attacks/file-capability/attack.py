from kit import *

open("attack-capability", "w").close()
os.setxattr("attack-capability", "security.capability", bytes.fromhex("0100000202000000000000000000000000000000"))
harm("given")
