"""Sockets: native where no name reaches outside, refused where one would.

The socket objects are the host's. What makes this safe without copying every message:

* Which sockets a guest can own is decided when they are created. Internet sockets exist only when policy's network is "loopback",
  netlink route sockets (which only read: guests have no host capability) only in a network name space of the guests' own with an
  empty host root (``_isolated``; "loopback" implies it). Without it AF_UNIX datagram sockets are not created either, because
  sendmsg could name any host path with them. With the network "none" socket(AF_INET) is EACCES, as under a Linux security module.
  Stream and sequenced-packet sockets ignore or refuse a name in sendmsg.
* bind and connect are never forwarded outside isolation, whatever the copied address says: another thread could change it, or the
  descriptor, after the check. AF_UNIX path names belong to the guest's view and are never forwarded at all.

* In isolation an AF_UNIX path is carried by an abstract host name that only the sandbox can reach (net/unix_names.py).

Not yet: AF_UNIX names outside isolation (bind is EACCES); path names in sendmsg, and in what recvmsg says of the sender; SCM_CREDENTIALS
show host ids. Datagram pairs outside isolation keep message boundaries but also notice a closed peer.

Source: Linux 6.18 net/socket.c, net/unix/af_unix.c; unix(7), ip(7).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from pylibos.abi import sockets as c
from pylibos.abi.errno import Errno
from pylibos.emulation.errors import SyscallError
from pylibos.emulation.net.addresses import read_address
from pylibos.emulation.net.unix_names import bind_path, send_to_path, with_names
from pylibos.emulation.outcome import FORWARD, Forward, Replace
from pylibos.emulation.syscalls.params import Address, Fd, Int, Size
from pylibos.emulation.syscalls.table import Route, Support, fallback, forwarded, syscall

if TYPE_CHECKING:
    from pylibos.emulation.process.thread import Thread

_CREDENTIALS: Final = struct.Struct("<iII")
"""struct ucred: pid, uid, gid."""
_S_IFSOCK: Final = 0o140000
_S_IFMT: Final = 0o170000


def _isolated(thread: Thread) -> bool:
    """Whether names of sockets cannot reach anything of the host."""
    executive = thread.executive
    return executive.private_network and executive.private_root


def _socket_type(kind: int) -> int:
    """The type without its flags. Raises EINVAL for unknown flags."""
    if kind & ~(c.SOCK_TYPE_MASK | c.SOCK_NONBLOCK | c.SOCK_CLOEXEC):
        raise SyscallError(Errno.EINVAL)
    return kind & c.SOCK_TYPE_MASK


@syscall("socket", number=41, route=Route.NOTIFY, support=Support.PARTIAL, note="AF_UNIX, AF_INET, AF_INET6, NETLINK_ROUTE; no raw sockets")
def sys_socket(thread: Thread, domain: Int, kind: Int, protocol: Int) -> Forward:
    """socket(2). Compare Linux net/socket.c:__sys_socket().

    Raises: EACCES the sandbox has no network, or an AF_UNIX datagram socket outside isolation; EPERM raw; EAFNOSUPPORT; EINVAL;
    EPROTONOSUPPORT.
    """
    base = _socket_type(kind)
    if domain == c.AF_UNIX:
        if base in (c.SOCK_STREAM, c.SOCK_SEQPACKET) or _isolated(thread):
            return FORWARD
        raise SyscallError(Errno.EACCES)
    if domain in (c.AF_INET, c.AF_INET6):
        if base == c.SOCK_RAW:
            raise SyscallError(Errno.EPERM)
        if not thread.executive.internet:
            raise SyscallError(Errno.EACCES)
        if protocol not in (0, c.IPPROTO_TCP, c.IPPROTO_UDP):
            raise SyscallError(Errno.EPROTONOSUPPORT)
        return FORWARD
    if domain == c.AF_NETLINK:
        if not _isolated(thread):
            raise SyscallError(Errno.EACCES)
        if protocol != c.NETLINK_ROUTE:
            raise SyscallError(Errno.EPROTONOSUPPORT)
        return FORWARD
    raise SyscallError(Errno.EAFNOSUPPORT)


_PAIR_TYPES: Final = frozenset((c.SOCK_STREAM, c.SOCK_DGRAM, c.SOCK_RAW, c.SOCK_SEQPACKET))


@syscall(
    "socketpair",
    number=53,
    route=Route.TRACE,
    support=Support.PARTIAL,
    note="a datagram pair is made of SOCK_SEQPACKET sockets unless the sandbox is isolated",
)
def sys_socketpair(thread: Thread, domain: Int, kind: Int, protocol: Int, pair: Address) -> Forward | Replace:
    """socketpair(2): the host's, but outside isolation a datagram pair of another type (the type is in a register).

    Compare Linux net/socket.c:__sys_socketpair(). Raises: EAFNOSUPPORT; EOPNOTSUPP internet; ESOCKTNOSUPPORT; EPROTONOSUPPORT; EINVAL.
    """
    base = _socket_type(kind)
    if domain != c.AF_UNIX:
        raise SyscallError(Errno.EOPNOTSUPP if domain in (c.AF_INET, c.AF_INET6) else Errno.EAFNOSUPPORT)
    if base not in _PAIR_TYPES:
        raise SyscallError(Errno.ESOCKTNOSUPPORT)
    if protocol not in (0, c.AF_UNIX):
        raise SyscallError(Errno.EPROTONOSUPPORT)
    if base in (c.SOCK_DGRAM, c.SOCK_RAW) and not _isolated(thread):
        return Replace(arguments=((1, kind & ~c.SOCK_TYPE_MASK | c.SOCK_SEQPACKET),))
    return FORWARD


# -- names of sockets -------------------------------------------------------------------------------------------------------
def _require_socket(thread: Thread, fd: int) -> None:
    """Raise EBADF or ENOTSOCK unless fd is a socket."""
    if thread.executive.host.descriptor_identity(thread.host_tid, fd).mode & _S_IFMT != _S_IFSOCK:
        raise SyscallError(Errno.ENOTSOCK)


def _forward_if_isolated(thread: Thread) -> Forward:
    if _isolated(thread):
        return FORWARD
    # Outside isolation every socket is AF_UNIX: this is what it answers to a foreign family.
    raise SyscallError(Errno.EINVAL)


@syscall("bind", number=49, route=Route.TRACE, support=Support.PARTIAL, note="needs a private network; AF_UNIX names are EACCES without")
def sys_bind(thread: Thread, fd: Fd, address: Address, size: Int) -> Forward | Replace:
    """bind(2). Compare Linux net/socket.c:__sys_bind(), net/unix/af_unix.c:unix_bind_bsd().

    Raises: EBADF, ENOTSOCK, EINVAL, EFAULT; for a path EADDRINUSE and the errors of mknod; EACCES an AF_UNIX name outside isolation.
    """
    _require_socket(thread, fd)
    name = read_address(thread.memory, address, size)
    if name.family == c.AF_UNIX and not name.is_abstract:
        if not _isolated(thread):
            raise SyscallError(Errno.EACCES)
        return bind_path(thread, name.unix_path)
    if name.family == c.AF_UNIX and not _isolated(thread):
        raise SyscallError(Errno.EACCES)
    return _forward_if_isolated(thread)


@syscall("connect", number=42, route=Route.TRACE, support=Support.PARTIAL, note="as bind; EPROTOTYPE of a path is ECONNREFUSED")
def sys_connect(thread: Thread, fd: Fd, address: Address, size: Int) -> Forward | Replace:
    """connect(2). Compare Linux net/unix/af_unix.c:unix_stream_connect().

    Raises: EBADF, ENOTSOCK, EINVAL, EFAULT; for an AF_UNIX path ENOENT and the errors of a path walk, EACCES, ECONNREFUSED.
    """
    _require_socket(thread, fd)
    name = read_address(thread.memory, address, size)
    if name.family != c.AF_UNIX or (name.is_abstract and _isolated(thread)):
        return _forward_if_isolated(thread)
    if name.is_abstract:
        raise SyscallError(Errno.ECONNREFUSED)
    return send_to_path(thread, name.unix_path, 1)


@fallback("sendto", number=44)
def sys_sendto(thread: Thread, fd: Fd, data: Address, size: Size, flags: Int, address: Address, address_size: Int) -> Forward | Replace:
    """sendto(2) with an address (without one it is native). Compare Linux net/socket.c:__sys_sendto().

    Raises: EBADF, ENOTSOCK, EINVAL, EFAULT; EISCONN outside isolation, where all sockets are streams.
    """
    _require_socket(thread, fd)
    name = read_address(thread.memory, address, address_size)
    if not _isolated(thread):
        raise SyscallError(Errno.EISCONN)
    if name.family == c.AF_UNIX and not name.is_abstract:
        return send_to_path(thread, name.unix_path, 4)
    return FORWARD


# -- options ----------------------------------------------------------------------------------------------------------------
@syscall("setsockopt", number=54, route=Route.TRACE, support=Support.PARTIAL, note="levels SOCKET, IP, IPV6, TCP, UDP, ICMPV6, NETLINK")
def sys_setsockopt(thread: Thread, fd: Fd, level: Int, option: Int, value: Address, size: Int) -> Forward:
    """setsockopt(2): forwarded for levels that concern the socket itself. Compare net/socket.c. Raises: ENOPROTOOPT another level."""
    if level not in c.SOCKET_LEVELS:
        raise SyscallError(Errno.ENOPROTOOPT)
    return FORWARD


@syscall("getsockopt", number=55, route=Route.TRACE, support=Support.PARTIAL, note="as setsockopt; SO_PEERGROUPS shows host ids")
def sys_getsockopt(thread: Thread, fd: Fd, level: Int, option: Int, value: Address, size: Address) -> Forward | Replace:
    """getsockopt(2): forwarded for levels that concern the socket itself. Raises: ENOPROTOOPT another level, SO_PEERPIDFD."""
    if level not in c.SOCKET_LEVELS or (level == c.SOL_SOCKET and option == c.SO_PEERPIDFD):
        raise SyscallError(Errno.ENOPROTOOPT)
    if level == c.SOL_SOCKET and option == c.SO_PEERCRED:
        return Replace(finish=lambda result: _guest_credentials(thread, value, size, result))
    return FORWARD


def _guest_credentials(thread: Thread, value: int, size: int, result: int) -> int:
    """The host's struct ucred says the right process with the host's ids: write what the guest believes (a dead peer's: our own)."""
    if result >= 0 and int.from_bytes(thread.memory.read(size, 4), "little") == _CREDENTIALS.size:
        pid, _uid, _gid = _CREDENTIALS.unpack(thread.memory.read(value, _CREDENTIALS.size))
        if pid > 0:
            peer = thread.executive.processes.process_of_task(pid) or thread.process
            thread.memory.write(value, _CREDENTIALS.pack(pid, peer.credentials.euid, peer.credentials.egid))
    return result


@syscall("accept", number=43, route=Route.TRACE, support=Support.FULL)
def sys_accept(thread: Thread, fd: Fd, address: Address, size: Address) -> Forward | Replace:
    """accept(2): forwarded, the peer's name as the guest knows it. Compare Linux net/socket.c:__sys_accept4()."""
    return with_names(thread, address, size)


@syscall("accept4", number=288, route=Route.TRACE, support=Support.FULL)
def sys_accept4(thread: Thread, fd: Fd, address: Address, size: Address, flags: Int) -> Forward | Replace:
    """accept4(2), as accept."""
    return with_names(thread, address, size)


@syscall("getsockname", number=51, route=Route.TRACE, support=Support.FULL)
def sys_getsockname(thread: Thread, fd: Fd, address: Address, size: Address) -> Forward | Replace:
    """getsockname(2), as accept."""
    return with_names(thread, address, size)


@syscall("getpeername", number=52, route=Route.TRACE, support=Support.FULL)
def sys_getpeername(thread: Thread, fd: Fd, address: Address, size: Address) -> Forward | Replace:
    """getpeername(2), as accept."""
    return with_names(thread, address, size)


@fallback("recvfrom", number=45)
def sys_recvfrom(thread: Thread, fd: Fd, data: Address, room: Size, flags: Int, address: Address, size: Address) -> Forward | Replace:
    """recvfrom(2) that asks for the sender's name (without it is native)."""
    return with_names(thread, address, size)


_GRANTED: Final = "on a socket the guest could only get with policy's leave; no name in it can reach the host (module docstring)"

forwarded("listen", 50, route=Route.TRACE, why=_GRANTED)
forwarded("shutdown", 48, route=Route.TRACE, why=_GRANTED)
forwarded("sendmsg", 46, route=Route.TRACE, why=_GRANTED)
forwarded("sendmmsg", 307, route=Route.TRACE, why=_GRANTED)
forwarded("recvmmsg", 299, route=Route.TRACE, why=_GRANTED)
