from kit import *

import threading
event = threading.Event()
count = 0
try:
    while count < 400:
        threading.Thread(target=event.wait, daemon=True).start()
        count += 1
except RuntimeError as error:
    held(f"stopped at {count}: {error}") if count < 200 else None
harm(count)
