"""What the attacks share. An attack ends with 0 when it did what it must not be able to do, with 3 when it was kept from it, and with
77 when this machine does not have what it takes. Anything else is a fault of the attack itself, and the suite fails."""

import ctypes
import os
import platform
import socket
import ssl
import sys
import urllib.parse


def harm(what):
    print(what)
    sys.stdout.flush()
    os._exit(0)


def held(why=""):
    print(why)
    sys.stdout.flush()
    os._exit(3)


def impossible(why):
    print(why)
    sys.stdout.flush()
    os._exit(77)


def _fault(kind, error, trace):
    if issubclass(kind, OSError):
        held(f"{kind.__name__}: {error}")
    sys.__excepthook__(kind, error, trace)
    sys.stderr.flush()
    os._exit(70)


sys.excepthook = _fault


def param(name):
    """What the suite tells: paths, ports and the like of what it has set up."""
    return os.environ["ATTACK_" + name]


def secret(name=""):
    """The start of the planted secrets' texts, put together here so that no attack finds its own words."""
    return "-".join(["regreen", "canary"]) + ("-" + name if name else "")


def read_any(*paths):
    """Reads planted secrets below the user's real home folder."""
    for path in paths:
        path = os.path.join(param("HOME"), path)
        try:
            with open(path, errors="replace") as file:
                if secret() in file.read():
                    harm(f"read {path}")
        except OSError as error:
            print(error)
    held()


def gate():
    """The address of the proxy that a setup step has; none where it does not need one."""
    proxy = os.environ.get("HTTPS_PROXY")
    if not proxy:
        return None
    at = urllib.parse.urlsplit(proxy)
    return at.hostname, at.port


def connected(address):
    connection = socket.create_connection(address, 60)
    connection.settimeout(60)
    return connection


def asked(target):
    """The status of a CONNECT through the proxy, and the connection; one of its own where there is no proxy."""
    at = gate()
    if not at:
        host, port = target.rsplit(":", 1)
        return 200, connected((host, int(port)))
    connection = connected(at)
    connection.sendall(f"CONNECT {target} HTTP/1.1\r\n\r\n".encode())
    return int(connection.recv(4096).split()[1]), connection


def hello(name):
    """What a TLS client says first that wants to talk to `name`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        context.wrap_bio(incoming, outgoing, server_hostname=name).do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


def past_the_gate(target, sent):
    """Sends bytes to `target` through the proxy, which it answers with "got"."""
    _, connection = asked(target)
    connection.sendall(sent)
    answer = connection.recv(100)
    harm(answer) if b"got" in answer else held(answer)


# Numbers that differ between machines; those from 424 on are the same everywhere.
_X86 = dict(ptrace=101, syslog=103, pivot_root=155, reboot=169, mount=165, umount2=166, init_module=175, add_key=248, request_key=249,
            keyctl=250, unshare=272, kexec_load=246, perf_event_open=298, fanotify_init=300, name_to_handle_at=303,
            open_by_handle_at=304, setns=308, process_vm_readv=310, kcmp=312, bpf=321, userfaultfd=323, clone=56, openat=257, shmget=29,
            swapoff=168, acct=163, quotactl=179, mknodat=259, prlimit64=302, finit_module=313, kexec_file_load=320)
_ARM = dict(ptrace=117, syslog=116, pivot_root=41, reboot=142, mount=40, umount2=39, init_module=105, add_key=217, request_key=218,
            keyctl=219, unshare=97, kexec_load=104, perf_event_open=241, fanotify_init=262, name_to_handle_at=264,
            open_by_handle_at=265, setns=268, process_vm_readv=270, kcmp=272, bpf=280, userfaultfd=282, clone=220, openat=56, shmget=194,
            swapoff=225, acct=89, quotactl=60, mknodat=33, prlimit64=261, finit_module=273, kexec_file_load=294)
_SAME = dict(io_uring_setup=425, open_tree=428, move_mount=429, fsopen=430, clone3=435, openat2=437, pidfd_open=434, pidfd_getfd=438,
             mount_setattr=442, quotactl_fd=443, fchmodat2=452, io_uring_register=427)


def number(name):
    table = {"x86_64": _X86, "aarch64": _ARM}.get(platform.machine())
    if name in _SAME:
        return _SAME[name]
    if table is None:
        impossible("no numbers of system calls for this machine")
    return table[name]


def call(name, *arguments):
    """A raw system call: its result, or minus the error."""
    library = ctypes.CDLL(None, use_errno=True)
    library.syscall.restype = ctypes.c_long
    ctypes.set_errno(0)
    which = number(name) if isinstance(name, str) else name
    wide = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result = library.syscall(ctypes.c_long(which), *wide)
    return result if result >= 0 else -ctypes.get_errno()


def reaches(name, *arguments):
    """An attack on the kernel by a call that is refused for what it is, not for its (harmless) arguments."""
    import errno
    result = call(name, *arguments)
    if -result in (errno.EPERM, errno.EACCES):
        held(f"{name}: {os.strerror(-result)}")
    if -result == errno.ENOSYS:
        impossible(f"{name}: {os.strerror(-result)}")
    harm(f"{name}: {result if result >= 0 else os.strerror(-result)}")
