from kit import *

os.mkdir("/dev/shm/attack")
try:
    for number_ in range(70000):
        os.close(os.open(f"/dev/shm/attack/{number_}", os.O_CREAT | os.O_WRONLY))
except OSError as error:
    held(error.strerror)
harm(70000)
