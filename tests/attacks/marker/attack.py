from kit import *

places = {os.path.realpath(place) for place in (".", "/tmp", os.path.expanduser("~"), "/dev/shm", "/var/tmp", os.environ.get("TMPDIR", "/tmp"))}
found = False
for place in places:
    path = os.path.join(place, "regreen-attack-marker")
    found = found or os.path.exists(path)
    try:
        open(path, "w").close()
    except OSError as error:
        print(error)
harm("the mark of the one before") if found else held("no mark")
