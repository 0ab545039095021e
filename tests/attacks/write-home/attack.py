from kit import *

path = os.path.join(param("BASE"), "home/.profile") if not "home/.profile".startswith("project/") else "home/.profile".removeprefix("project/")
os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
with open(path, "w") as file:
    file.write("attack")
harm(path)
