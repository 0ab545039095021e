from kit import *

path = os.path.join(param("BASE"), "project/.git/attack-sentinel") if not "project/.git/attack-sentinel".startswith("project/") else "project/.git/attack-sentinel".removeprefix("project/")
os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
with open(path, "w") as file:
    file.write("attack")
harm(path)
