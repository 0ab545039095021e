from kit import *

path = os.path.join(param("HOME"), "notes.txt")
os.chmod(path, os.stat(path).st_mode & 0o7777)
harm("changed")
