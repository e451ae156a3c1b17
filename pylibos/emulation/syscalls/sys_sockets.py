"""Sockets: native where no name reaches outside, refused where one would.

The socket objects are the host's. What makes this safe without copying every message:

* Which sockets a guest can own is decided when they are created. Internet sockets exist only when policy's network is "loopback",
  netlink route sockets (which only read: guests have no host capability) only in a network name space of the guests' own with an
  empty host root (``_isolated``; "loopback" implies it). Without it AF_UNIX datagram sockets are not created either, because
  sendmsg could name any host path with them. With the network "none" socket(AF_INET) is EACCES, as under a Linux security module.
  Stream and sequenced-packet sockets ignore or refuse a name in sendmsg.
* bind and connect are never forwarded outside isolation, whatever the copied address says: another thread could change it, or the
  descriptor, after the check. AF_UNIX path names belong to the guest's view and are never forwarded at all.

Not yet: AF_UNIX servers with a path name (bind is EACCES), datagram pairs keep message boundaries but also notice a closed peer.

Source: Linux 6.18 net/socket.c, net/unix/af_unix.c; unix(7), ip(7).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from pylibos.abi import sockets as c
from pylibos.abi.errno import Errno
from pylibos.emulation.errors import SyscallError
from pylibos.emulation.fs.permission import permitted
from pylibos.emulation.net.addresses import SocketAddress, read_address
from pylibos.emulation.outcome import FORWARD, Forward
from pylibos.emulation.syscalls.params import Address, Fd, Int, OutPtr, Size
from pylibos.emulation.syscalls.table import Route, Support, fallback, forwarded, syscall
from pylibos.monitor.host_abi import Create

if TYPE_CHECKING:
    from pylibos.emulation.process.thread import Thread

_S_IFSOCK: Final = 0o140000
_S_IFMT: Final = 0o170000
_WRITE: Final = 2


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


_PAIRS: Final = {c.SOCK_STREAM: b"unix:stream", c.SOCK_DGRAM: b"unix:dgram", c.SOCK_RAW: b"unix:dgram", c.SOCK_SEQPACKET: b"unix:seqpacket"}


@syscall(
    "socketpair",
    number=53,
    route=Route.NOTIFY,
    support=Support.PARTIAL,
    note="a datagram pair is made of SOCK_SEQPACKET sockets unless the sandbox is isolated; SO_PEERCRED shows the supervisor",
)
def sys_socketpair(thread: Thread, domain: Int, kind: Int, protocol: Int, pair: OutPtr[bytes]) -> None:
    """socketpair(2): made by the host, installed here, because a datagram pair may have to be of another type.

    Compare Linux net/socket.c:__sys_socketpair(). Raises: EAFNOSUPPORT; EOPNOTSUPP internet; ESOCKTNOSUPPORT; EPROTONOSUPPORT;
    EINVAL; EFAULT; EMFILE (the first descriptor then stays open).
    """
    base = _socket_type(kind)
    if domain != c.AF_UNIX:
        raise SyscallError(Errno.EOPNOTSUPP if domain in (c.AF_INET, c.AF_INET6) else Errno.EAFNOSUPPORT)
    uri = _PAIRS.get(base)
    if uri is None:
        raise SyscallError(Errno.ESOCKTNOSUPPORT)
    if protocol not in (0, c.AF_UNIX):
        raise SyscallError(Errno.EPROTONOSUPPORT)
    if uri == b"unix:dgram" and not _isolated(thread):
        uri = b"unix:seqpacket"
    host = thread.executive.host
    pair.write(bytes(8))  # a bad pointer fails before descriptors exist
    streams = host.stream_open_pair(uri, Create.NONBLOCK if kind & c.SOCK_NONBLOCK else Create.OPEN)
    try:
        numbers = [host.descriptor_install(thread.host_tid, stream, bool(kind & c.SOCK_CLOEXEC)) for stream in streams]
    finally:
        for stream in streams:
            host.stream_close(stream)
    pair.write(struct.pack("<2i", *numbers))


# -- names of sockets -------------------------------------------------------------------------------------------------------
def _require_socket(thread: Thread, fd: int) -> None:
    """Raise EBADF or ENOTSOCK unless fd is a socket."""
    if thread.executive.host.descriptor_identity(thread.host_tid, fd).mode & _S_IFMT != _S_IFSOCK:
        raise SyscallError(Errno.ENOTSOCK)


def _forward_if_isolated(thread: Thread, address: SocketAddress) -> Forward:
    if _isolated(thread):
        return FORWARD
    # Outside isolation every socket is AF_UNIX: this is what it answers to a foreign family.
    raise SyscallError(Errno.EINVAL)


@syscall("bind", number=49, route=Route.TRACE, support=Support.PARTIAL, note="AF_UNIX path names are EACCES; others need a private network")
def sys_bind(thread: Thread, fd: Fd, address: Address, size: Int) -> Forward:
    """bind(2). Compare Linux net/socket.c:__sys_bind(). Raises: EBADF, ENOTSOCK, EINVAL, EFAULT; EACCES an AF_UNIX name."""
    _require_socket(thread, fd)
    name = read_address(thread.memory, address, size)
    if name.family == c.AF_UNIX and not (name.is_abstract and _isolated(thread)):
        raise SyscallError(Errno.EACCES)
    return _forward_if_isolated(thread, name)


@syscall("connect", number=42, route=Route.TRACE, support=Support.PARTIAL, note="no AF_UNIX path has a server; others need isolation")
def sys_connect(thread: Thread, fd: Fd, address: Address, size: Int) -> Forward:
    """connect(2). Compare Linux net/unix/af_unix.c:unix_stream_connect().

    Raises: EBADF, ENOTSOCK, EINVAL, EFAULT; for an AF_UNIX path ENOENT and the errors of a path walk, EACCES, ECONNREFUSED.
    """
    _require_socket(thread, fd)
    name = read_address(thread.memory, address, size)
    if name.family != c.AF_UNIX or (name.is_abstract and _isolated(thread)):
        return _forward_if_isolated(thread, name)
    _refuse_connection(thread, name)
    raise SyscallError(Errno.ECONNREFUSED)


def _refuse_connection(thread: Thread, name: SocketAddress) -> None:
    """The error Linux has for a name that nobody serves, other than ECONNREFUSED."""
    if name.is_abstract:
        return
    path = name.unix_path
    inode = thread.executive.files.find(thread, None, path)
    if not permitted(inode, thread.process.credentials, _WRITE):
        raise SyscallError(Errno.EACCES)


@fallback("sendto", number=44)
def sys_sendto(thread: Thread, fd: Fd, data: Address, size: Size, flags: Int, address: Address, address_size: Int) -> Forward:
    """sendto(2) with an address (without one it is native). Compare Linux net/socket.c:__sys_sendto().

    Raises: EBADF, ENOTSOCK, EINVAL, EFAULT; EISCONN outside isolation, where all sockets are streams.
    """
    _require_socket(thread, fd)
    name = read_address(thread.memory, address, address_size)
    if not _isolated(thread):
        raise SyscallError(Errno.EISCONN)
    if name.family == c.AF_UNIX and not name.is_abstract:
        _refuse_connection(thread, name)
        raise SyscallError(Errno.ECONNREFUSED)
    return FORWARD


# -- options ----------------------------------------------------------------------------------------------------------------
@syscall("setsockopt", number=54, route=Route.TRACE, support=Support.PARTIAL, note="levels SOCKET, IP, IPV6, TCP, UDP, ICMPV6, NETLINK")
def sys_setsockopt(thread: Thread, fd: Fd, level: Int, option: Int, value: Address, size: Int) -> Forward:
    """setsockopt(2): forwarded for levels that concern the socket itself. Compare net/socket.c. Raises: ENOPROTOOPT another level."""
    if level not in c.SOCKET_LEVELS:
        raise SyscallError(Errno.ENOPROTOOPT)
    return FORWARD


@syscall("getsockopt", number=55, route=Route.TRACE, support=Support.PARTIAL, note="as setsockopt; SO_PEERCRED shows host ids")
def sys_getsockopt(thread: Thread, fd: Fd, level: Int, option: Int, value: Address, size: Address) -> Forward:
    """getsockopt(2): forwarded for levels that concern the socket itself. Raises: ENOPROTOOPT another level, SO_PEERPIDFD."""
    if level not in c.SOCKET_LEVELS or (level == c.SOL_SOCKET and option == c.SO_PEERPIDFD):
        raise SyscallError(Errno.ENOPROTOOPT)
    return FORWARD


_GRANTED: Final = "on a socket the guest could only get with policy's leave; no name in it can reach the host (module docstring)"

forwarded("accept", 43, route=Route.TRACE, why=_GRANTED)
forwarded("accept4", 288, route=Route.TRACE, why=_GRANTED)
forwarded("listen", 50, route=Route.TRACE, why=_GRANTED)
forwarded("shutdown", 48, route=Route.TRACE, why=_GRANTED)
forwarded("getsockname", 51, route=Route.TRACE, why=_GRANTED)
forwarded("getpeername", 52, route=Route.TRACE, why=_GRANTED)
forwarded("sendmsg", 46, route=Route.TRACE, why=_GRANTED)
forwarded("sendmmsg", 307, route=Route.TRACE, why=_GRANTED)
forwarded("recvmmsg", 299, route=Route.TRACE, why=_GRANTED)
