"""The network interface of a sandbox that has no network name space: a loopback that is down, as a new name space has it.

What it is: the answers of the SIOCGIF* ioctls about it. Where there is a name space the kernel answers, and only of what is in it.
Pure. Source: netdevice(7), Linux net/core/dev_ioctl.c (dev_ifsioc_locked), drivers/net/loopback.c.
"""

from __future__ import annotations

import struct
from typing import Final

from pylibos.abi.errno import Errno
from pylibos.emulation.errors import SyscallError

SIOCGIFNAME: Final = 0x8910
SIOCGIFCONF: Final = 0x8912
SIOCGIFFLAGS: Final = 0x8913
SIOCGIFADDR: Final = 0x8915
SIOCGIFDSTADDR: Final = 0x8917
SIOCGIFBRDADDR: Final = 0x8919
SIOCGIFNETMASK: Final = 0x891B
SIOCGIFMETRIC: Final = 0x891D
SIOCGIFMTU: Final = 0x8921
SIOCGIFHWADDR: Final = 0x8927
SIOCGIFINDEX: Final = 0x8933
SIOCGIFTXQLEN: Final = 0x8942
INTERFACE_QUERIES: Final = frozenset(
    (
        SIOCGIFNAME, SIOCGIFCONF, SIOCGIFFLAGS, SIOCGIFADDR, SIOCGIFDSTADDR, SIOCGIFBRDADDR, SIOCGIFNETMASK, SIOCGIFMETRIC, SIOCGIFMTU,
        SIOCGIFHWADDR, SIOCGIFINDEX, SIOCGIFTXQLEN,
    )
)  # fmt: skip
"""They only read; what they change is the guest's memory."""

IFREQ_SIZE: Final = 40
"""struct ifreq: 16 bytes of name and a union of 24."""
IFCONF: Final = struct.Struct("<i4xQ")
_NAME_SIZE: Final = 16
_LOOPBACK: Final = b"lo"
_INDEX: Final = 1
_ARPHRD_LOOPBACK: Final = 772
_INT: Final = struct.Struct("<i")
_VALUES: Final = {
    SIOCGIFFLAGS: struct.pack("<h", 0x8),  # IFF_LOOPBACK, and neither UP nor RUNNING
    SIOCGIFMETRIC: _INT.pack(0),
    SIOCGIFMTU: _INT.pack(65536),
    SIOCGIFHWADDR: struct.pack("<H14x", _ARPHRD_LOOPBACK),
    SIOCGIFINDEX: _INT.pack(_INDEX),
    SIOCGIFTXQLEN: _INT.pack(1000),
}


def describe_loopback(command: int, request: bytes) -> bytes:
    """The struct ifreq a query gives back. Raises ENODEV another name or number; EADDRNOTAVAIL its address, which it has not."""
    if command == SIOCGIFNAME:
        if _INT.unpack_from(request, _NAME_SIZE)[0] != _INDEX:
            raise SyscallError(Errno.ENODEV)
        return _LOOPBACK.ljust(_NAME_SIZE, b"\0") + request[_NAME_SIZE:]
    if request[:_NAME_SIZE].partition(b"\0")[0].partition(b":")[0] != _LOOPBACK:
        raise SyscallError(Errno.ENODEV)
    value = _VALUES.get(command)
    if value is None:
        raise SyscallError(Errno.EADDRNOTAVAIL)
    return request[:_NAME_SIZE] + value + request[_NAME_SIZE + len(value) :]
