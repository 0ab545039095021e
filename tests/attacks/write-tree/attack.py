from kit import *

path = os.path.join(param("BASE"), "project/attack-sentinel") if not "project/attack-sentinel".startswith("project/") else "project/attack-sentinel".removeprefix("project/")
os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
with open(path, "w") as file:
    file.write("attack")
harm(path)
