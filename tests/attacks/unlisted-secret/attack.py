from attack import *

read_any(".some-new-tool/token", "notes.txt")
