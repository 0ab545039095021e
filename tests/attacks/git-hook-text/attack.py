from kit import *

with open(".git/hooks/pre-push") as file:
    harm("read") if secret() in file.read() else held()
