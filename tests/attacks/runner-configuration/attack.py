from kit import *

read_any(".config/regreen/config.toml", ".config/regreen/key")
