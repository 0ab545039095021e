from kit import *

os.setgid(65533)
os.setuid(65533)
harm("became another")
