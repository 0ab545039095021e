from kit import *

reader, writer = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        try:
            with open(os.path.join(param("HOME"), ".netrc")) as file:
                os.write(writer, file.read().encode())
        except OSError as error:
            os.write(writer, str(error).encode())
    os._exit(0)
os.close(writer)
said = b"".join(iter(lambda: os.read(reader, 4096), b""))
harm("read") if secret().encode() in said else held(said)
