from kit import *

opened = 0
try:
    while opened < 200000:
        os.dup(0)
        opened += 1
except OSError as error:
    held(f"{opened}: {error.strerror}")
harm(opened)
