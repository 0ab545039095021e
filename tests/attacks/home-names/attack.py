from kit import *

os.stat(os.path.join(param("HOME"), "notes.txt"))
harm("it is there")
