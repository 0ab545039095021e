from attack import *

os.umask(0)
fd = os.open(".", os.O_TMPFILE | os.O_RDWR, 0o4755)
mode = os.fstat(fd).st_mode
if not mode & 0o4000:
    held(oct(mode))
os.link(f"/proc/self/fd/{fd}", "attack-setuid-6", follow_symlinks=True)
harm(oct(os.stat("attack-setuid-6").st_mode))
