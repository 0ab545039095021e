from attack import *

reaches("kexec_load", 0, 0, 0, 0xFFFF)
