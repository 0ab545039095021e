from kit import *

for path in ("/etc/shadow", "/etc/gshadow", "/etc/sudoers", "/etc/ssh/ssh_host_ed25519_key"):
    try:
        with open(path) as file:
            file.read(1)
            harm(path)
    except OSError as error:
        print(error)
held()
