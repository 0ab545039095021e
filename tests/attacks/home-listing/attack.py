from kit import *

names = os.listdir(param("HOME"))
harm(names) if "notes.txt" in names else held(names)
