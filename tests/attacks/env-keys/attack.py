from kit import *

found = [name for name, value in os.environ.items() if secret() in value]
harm(found) if found else held(sorted(os.environ))
