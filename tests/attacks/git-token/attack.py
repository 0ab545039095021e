from kit import *

with open(".git/config") as file:
    harm("read") if secret() in file.read() else held()
