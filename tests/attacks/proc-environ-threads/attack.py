from kit import *

for pid in filter(str.isdigit, os.listdir("/proc")):
    if int(pid) == os.getpid():
        continue
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/environ", "rb") as file:
                if secret().encode() in file.read():
                    harm(f"process {pid}")
    except OSError as error:
        print(error)
held()
