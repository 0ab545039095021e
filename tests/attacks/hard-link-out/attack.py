from kit import *

os.link(os.path.join(param("OUTSIDE"), "secret.txt"), "attack-hard-link")
with open("attack-hard-link") as file:
    harm(file.read())
