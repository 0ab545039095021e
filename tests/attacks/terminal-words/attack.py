from kit import *

os.write(1, b"\x1b]0;owned\x07\x1b[2J\x1b[1;31mFAILED\x1b[0m \x9b31m \xe2\x80\xaetxt \x1b]52;c;cm0gLXJmIC8=\x07\x1bP1$r\x1b\\\r\x08\x08 Error: oops at shop.py:1\n")
os.write(1, b'Traceback (most recent call last):\n  File "\x1b[2Jattack.py", line 1, in <module>\nValueError: \x1b]0;owned\x07 \xe2\x80\xae\n')
held()
