from kit import *

path = os.path.join(param("BASE"), "home/.local/state/regreen/attack-sentinel") if not "home/.local/state/regreen/attack-sentinel".startswith("project/") else "home/.local/state/regreen/attack-sentinel".removeprefix("project/")
os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
with open(path, "w") as file:
    file.write("attack")
harm(path)
