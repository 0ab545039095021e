from kit import *

import glob
import subprocess
loaders = glob.glob("/lib64/ld-linux-*.so*") + glob.glob("/lib/ld-linux-*.so*") + glob.glob("/lib/ld-musl-*.so*")
if not loaders:
    impossible("no loader here")
done = subprocess.run([loaders[0], "/bin/cat", os.path.join(param("HOME"), ".netrc")], capture_output=True, text=True, check=False)
harm("read") if secret() in done.stdout else held(done.stderr)
