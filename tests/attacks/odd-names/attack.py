from kit import *

for name in (b"\xff\xfe\xfd", b"new\nline", b"\x1b]0;title\x07", b"\x1b[2J\x1b[31mred", "\u202egpj.exe".encode(), b"-rf", b"--help", b"$(id)", b"a" * 255):
    with open(name, "w") as file:
        file.write("x")
print(os.listdir(b"."))
os.write(1, b"\n".join(os.listdir(b".")) + b"\n")
held("they are there")
