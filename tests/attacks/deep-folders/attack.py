from kit import *

for _ in range(300):
    os.mkdir("d" * 40)
    os.chdir("d" * 40)
held("300 deep, a path of 12,000 letters")
