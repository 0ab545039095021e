from kit import *

os.mknod("attack-device", 0o020666, os.makedev(1, 3))
with open("attack-device", "wb") as file:
    file.write(b"x")
harm("made and opened")
