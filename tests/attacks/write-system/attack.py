from kit import *

for place in ("/usr/bin", "/etc", "/usr/local/bin", "/var", "/opt", "/boot", "/"):
    try:
        path = os.path.join(place, "regreen-attack-sentinel")
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        os.remove(path)
        harm(place)
    except OSError as error:
        print(error)
held()
