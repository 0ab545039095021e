from kit import *

with open("attack-setuid-2", "w") as file:
    os.fchmod(file.fileno(), 0o4755)
    harm(oct(os.fstat(file.fileno()).st_mode))
