from attack import *

reaches("bpf", 0, 0, 0)
