from kit import *

with open(os.path.expanduser("~/attack"), "wb", 0) as file:
    try:
        for _ in range(512):
            file.write(bytes(1 << 20))
    except OSError as error:
        held(error.strerror)
harm("half a gigabyte")
