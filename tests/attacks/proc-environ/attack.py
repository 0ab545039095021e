from kit import *

for pid in filter(str.isdigit, os.listdir("/proc")):
    if int(pid) == os.getpid():
        continue
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            if secret().encode() in file.read():
                harm(f"process {pid}")
    except OSError as error:
        print(error)
held()
