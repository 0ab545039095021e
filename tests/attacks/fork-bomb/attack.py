from kit import *

import signal
children = 0
try:
    # Bounded, should nothing bound it.
    while children < 400:
        child = os.fork()
        if child == 0:
            signal.pause()
        children += 1
except OSError as error:
    held(f"stopped at {children}: {error.strerror}") if children < 200 else None
harm(children)
