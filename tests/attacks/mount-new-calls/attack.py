from kit import *

for result in (call("fsopen", b"tmpfs", 0), call("open_tree", -100, b"/", 1)):
    if result >= 0:
        harm(result)
held()
