from kit import *

os.umask(0)
fd = os.open("attack-setuid-4", os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o4755)
mode = os.fstat(fd).st_mode
harm(oct(mode)) if mode & 0o4000 else held(oct(mode))
