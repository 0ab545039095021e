from kit import *

depth = 0
for _ in range(3000):
    os.mkdir("d" * 40)
    os.chdir("d" * 40)
held("3000 deep")
