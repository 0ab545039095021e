from kit import *

path = os.path.join(param("BASE"), "home/.local/bin/attack-sentinel") if not "home/.local/bin/attack-sentinel".startswith("project/") else "home/.local/bin/attack-sentinel".removeprefix("project/")
os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
with open(path, "w") as file:
    file.write("attack")
harm(path)
