from kit import *

os.makedirs("attack-mount", exist_ok=True)
# A second /proc on a folder of its own is as harmless as a mount can be; it is taken away again.
result = call("mount", b"proc", b"attack-mount", b"proc", 0, None)
if result == 0:
    call("umount2", b"attack-mount", 2)
    harm("mounted")
held(os.strerror(-result))
