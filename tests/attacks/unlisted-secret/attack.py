from kit import *

read_any(".some-new-tool/token", "notes.txt")
