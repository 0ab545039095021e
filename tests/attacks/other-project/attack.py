from kit import *

with open(os.path.join(param("OUTSIDE"), "other-project/settings.py")) as file:
    harm("read") if secret() in file.read() else held()
