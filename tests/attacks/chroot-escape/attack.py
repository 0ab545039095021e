from kit import *

os.makedirs("attack-root", exist_ok=True)
os.chroot("attack-root")
harm("changed the root")
