from kit import *

import subprocess
said = subprocess.run(["su", "-c", "id -u"], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
harm("became root") if said.returncode == 0 and os.getuid() != 0 else held(said.stderr)
