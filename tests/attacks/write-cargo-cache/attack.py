from kit import *

path = os.path.join(param("BASE"), "home/.cargo/registry/attack-sentinel") if not "home/.cargo/registry/attack-sentinel".startswith("project/") else "home/.cargo/registry/attack-sentinel".removeprefix("project/")
os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
with open(path, "w") as file:
    file.write("attack")
harm(path)
