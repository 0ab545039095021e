from kit import *

path = os.path.join("/dev/shm", param("MARK"))
with open(path, "w") as file:
    file.write("attack")
harm(path)
