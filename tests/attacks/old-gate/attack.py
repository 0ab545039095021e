from kit import *

import mmap
if platform.machine() != "x86_64":
    impossible("this machine has none")
area = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
# mov eax, 26 (ptrace); xor of the arguments (TRACEME); int 0x80; ret. It is done in a child, which a filter may kill.
area.write(bytes.fromhex("53 b8 1a 00 00 00 31 db 31 c9 31 d2 31 f6 cd 80 5b c3"))
child = os.fork()
if child == 0:
    gate = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(area)))
    os._exit(0 if gate() == 0 else 1)
_, status = os.waitpid(child, 0)
harm("called") if status == 0 else held(f"status {status}")
