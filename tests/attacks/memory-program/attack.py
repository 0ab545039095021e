from kit import *

import shutil
program = os.memfd_create("program")
with open("/bin/sh", "rb") as file, os.fdopen(os.dup(program), "wb") as into:
    shutil.copyfileobj(file, into)
child = os.fork()
if child == 0:
    path = os.path.join(param("HOME"), ".netrc")
    os.execve(program, ["sh", "-c", f"read -r line < '{path}'"], dict(os.environ))
_, status = os.waitpid(child, 0)
harm("read") if status == 0 else held(f"status {status}")
