from kit import *

# The magic numbers are wrong: a machine that lets it in answers EINVAL.
reaches("reboot", 0, 0, 0, 0)
