from kit import *

with open(f"/proc/{param('PID')}/cmdline") as file:
    said = file.read()
harm(said) if "host.py" in said else held(said)
