from kit import *

harm(os.listdir("/sys/class")) if os.listdir("/sys") else held()
