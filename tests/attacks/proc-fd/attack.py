from kit import *

for pid in filter(str.isdigit, os.listdir("/proc")):
    if pid in (str(os.getpid()), param("DRIVER")):
        continue
    try:
        for fd in os.listdir(f"/proc/{pid}/fd"):
            if secret("held") in os.readlink(f"/proc/{pid}/fd/{fd}"):
                harm(f"process {pid}, descriptor {fd}")
    except OSError as error:
        print(error)
held()
