from kit import *

with open("attack-locked", "w") as file:
    file.write("x")
os.chown("attack-locked", 65533, 65533)
harm("given away")
