from kit import *

reaches("kexec_load", 0, 0, 0, 0xFFFF)
