from kit import *

folder = os.environ["REGREEN_REPORTS"]
home = os.environ.get("ATTACK_HOME") or os.path.dirname(os.getcwd()) + "/home"
beside = os.path.dirname(os.getcwd())
for number_, secret_file in enumerate((home + "/notes.txt", beside + "/outside/secret.txt", os.path.join(folder, "../../../../../outside/secret.txt"))):
    os.symlink(secret_file, os.path.join(folder, f"link{number_}.xml"))
os.mkfifo(os.path.join(folder, "pipe.xml"))
os.symlink("/dev/zero", os.path.join(folder, "zero.xml"))
os.makedirs(os.path.join(folder, "folder.xml/inner"))
with open(os.path.join(folder, "sparse.xml"), "wb") as file:
    file.truncate(1 << 33)
held()
