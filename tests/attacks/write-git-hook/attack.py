from kit import *

path = os.path.join(param("BASE"), "project/.git/hooks/post-commit") if not "project/.git/hooks/post-commit".startswith("project/") else "project/.git/hooks/post-commit".removeprefix("project/")
os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
with open(path, "w") as file:
    file.write("attack")
harm(path)
