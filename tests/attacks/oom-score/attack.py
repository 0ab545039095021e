from kit import *

with open("/proc/self/oom_score_adj", "w") as file:
    file.write("-500")
harm("set")
