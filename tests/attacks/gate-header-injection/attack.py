from kit import *

if not gate():
    harm("there is no proxy to deceive")
status, _ = asked(f"localhost:{param('REGISTRY')}@127.0.0.1:{param('TCP')}")
harm(status) if status == 200 else held(status)
