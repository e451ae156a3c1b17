"""The attempts a shell cannot make. Each function returns True when it got what it must not get."""

import ctypes
import mmap
import os
import shutil
import socket

libc = ctypes.CDLL(None, use_errno=True)


def a_device_node():
    os.mknod("/tmp/disk", 0o60600, os.makedev(8, 0))
    return os.open("/tmp/disk", os.O_RDONLY) >= 0


def mounting():
    return libc.mount(b"none", b"/mnt", b"tmpfs", 0, None) == 0


def a_kernel_module():
    return libc.syscall(175, b"x", 1, b"") == 0


def tracing_process_1():
    return libc.ptrace(0x4206, 1, None, None) == 0


def a_new_name_space():
    return libc.unshare(0x10000000 | 0x00020000) == 0


def io_uring():
    return libc.syscall(425, 8, ctypes.create_string_buffer(120)) >= 0


def the_32_bit_entry():
    """open("/etc/passwd") with int 0x80, in a child, because a refusal may be a signal."""
    child = os.fork()
    if child == 0:
        page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        # mov eax, 20 (getpid of the 32-bit table); int 0x80; ret
        page.write(b"\xb8\x14\x00\x00\x00\xcd\x80\xc3")
        address = ctypes.addressof(ctypes.c_char.from_buffer(page))
        os._exit(0 if ctypes.CFUNCTYPE(ctypes.c_int)(address)() > 0 else 1)
    _, status = os.waitpid(child, 0)
    return status == 0


def the_network():
    connection = socket.socket()
    connection.settimeout(2)
    connection.connect(("1.1.1.1", 53))
    return True


def deleting_the_system():
    """Inside, this is allowed: the view is copy-on-write. It got out only if ./command's checkout on the host lost something."""
    shutil.rmtree("/etc", ignore_errors=True)
    return os.path.exists("/etc/passwd")


ATTEMPTS = [
    ("a device node", a_device_node),
    ("mounting", mounting),
    ("a kernel module", a_kernel_module),
    ("tracing process 1", tracing_process_1),
    ("a new name space", a_new_name_space),
    ("io_uring", io_uring),
    ("the 32-bit entry", the_32_bit_entry),
    ("the network", the_network),
    ("deleting the system (inside it is gone, outside it is not)", deleting_the_system),
]

for name, attempt in ATTEMPTS:
    try:
        escaped = attempt()
    except OSError:
        escaped = False
    print(f"{'ESCAPED' if escaped else 'contained'}: {name}", flush=True)
