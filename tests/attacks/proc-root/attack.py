from kit import *

wanted = os.path.join(param("OUTSIDE"), "secret.txt").lstrip("/")
for pid in filter(str.isdigit, os.listdir("/proc")):
    for way in ("root", "cwd"):
        try:
            with open(f"/proc/{pid}/{way}/{wanted}") as file:
                if secret() in file.read():
                    harm(f"process {pid}")
        except OSError as error:
            print(error)
held()
