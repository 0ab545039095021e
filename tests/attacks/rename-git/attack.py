from kit import *

os.rename(".git", "attack-git")
# For those who come after.
os.rename("attack-git", ".git")
harm("renamed")
