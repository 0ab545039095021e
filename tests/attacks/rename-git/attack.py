from attack import *

os.rename(".git", "attack-git")
os.mkdir(".git")
harm("renamed")
