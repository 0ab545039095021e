from kit import *

os.umask(0)
os.mknod("attack-setuid-7", 0o104755)
mode = os.stat("attack-setuid-7").st_mode
harm(oct(mode)) if mode & 0o4000 else held(oct(mode))
