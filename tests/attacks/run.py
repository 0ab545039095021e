"""Runs attacks one after the other, each as a process of its own, and prints a line of JSON on each: its name, its exit status and what
it said. Its arguments are the attacks' names; what they need to know stands in `parameters.json` beside it."""

import json
import os
import subprocess
import sys

here = os.path.dirname(os.path.abspath(__file__))
with open(os.path.join(here, "parameters.json")) as file:
    parameters = json.load(file)
env = dict(os.environ, PYTHONPATH=here, PYTHONDONTWRITEBYTECODE="1", **{"ATTACK_" + name: str(value) for name, value in parameters.items()})
env["ATTACK_DRIVER"] = str(os.getpid())
for name in sys.argv[1:]:
    folder = os.path.join(here, name)
    argv = [sys.executable, "-B", os.path.join(folder, "attack.py")]
    try:
        # With every descriptor that came down: some attacks are about these.
        done = subprocess.run(argv, cwd=os.path.dirname(here), env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=120, close_fds=False)
        status, said = done.returncode, done.stdout.decode(errors="replace")
    except subprocess.TimeoutExpired:
        status, said = 124, "no end"
    print("@" + json.dumps({"attack": name, "status": status, "said": said[-160:]}), flush=True)
