from kit import *

open("attack-setuid", "w").close()
os.chmod("attack-setuid", 0o4755)
harm(oct(os.stat("attack-setuid").st_mode))
