from kit import *

os.umask(0)
fd = os.open(".", os.O_TMPFILE | os.O_RDWR, 0o4755)
mode = os.fstat(fd).st_mode
if not mode & 0o4000:
    held(oct(mode))
library = ctypes.CDLL(None, use_errno=True)
linked = library.linkat(-100, f"/proc/self/fd/{fd}".encode(), -100, b"attack-setuid-6", 0x400)
harm(oct(mode)) if linked == 0 else held(os.strerror(ctypes.get_errno()))
