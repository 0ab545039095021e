from kit import *

path = os.path.join(param("BASE"), "outside/attack-sentinel") if not "outside/attack-sentinel".startswith("project/") else "outside/attack-sentinel".removeprefix("project/")
os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
with open(path, "w") as file:
    file.write("attack")
harm(path)
