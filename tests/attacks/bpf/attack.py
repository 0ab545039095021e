from kit import *

reaches("bpf", 0, 0, 0)
