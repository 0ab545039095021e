from kit import *

os.symlink(param("OUTSIDE"), "attack-link")
with open("attack-link/attack-through-link", "w") as file:
    file.write("attack")
harm("written")
