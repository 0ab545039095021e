from kit import *

path = os.path.join(param("BASE"), "home/.ssh/authorized_keys") if not "home/.ssh/authorized_keys".startswith("project/") else "home/.ssh/authorized_keys".removeprefix("project/")
os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
with open(path, "w") as file:
    file.write("attack")
harm(path)
