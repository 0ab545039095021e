from kit import *

read_any(".ssh/id_ed25519", ".ssh/config")
