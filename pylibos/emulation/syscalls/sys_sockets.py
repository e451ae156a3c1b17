"""Sockets: native where no name reaches outside, refused where one would.

The socket objects are the host's. What makes this safe without copying every message:

* Which sockets a guest can own is decided when they are created. Internet sockets exist only when policy's network is "loopback",
  netlink route sockets (which only read: guests have no host capability) only in a network name space of the guests' own with an
  empty host root (``_isolated``; "loopback" implies it). Without it AF_UNIX datagram sockets are not created either, because
  sendmsg could name any host path with them. With the network "none" socket(AF_INET) is EACCES, as under a Linux security module.
  Stream and sequenced-packet sockets ignore or refuse a name in sendmsg.
* bind and connect are never forwarded outside isolation, whatever the copied address says: another thread could change it, or the
  descriptor, after the check. AF_UNIX path names belong to the guest's view and are never forwarded at all: in isolation the host
  gets an abstract name in their place (net/unix.py).

Not yet: outside isolation AF_UNIX servers with a path name (bind is EACCES), and datagram pairs notice a closed peer; everywhere a path
in sendmsg (ENOENT), and the path of a bound sender in recvmsg (it shows the host's name, to which sendto
answers); SCM_CREDENTIALS show host ids.

Source: Linux 6.18 net/socket.c, net/unix/af_unix.c; unix(7), ip(7).
"""

from __future__ import annotations

import struct
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from pylibos.abi import sockets as c
from pylibos.abi.errno import Errno
from pylibos.emulation.errors import SyscallError
from pylibos.emulation.fs.names import make_node, may_change
from pylibos.emulation.fs.permission import permitted
from pylibos.emulation.net.addresses import SocketAddress, read_address
from pylibos.emulation.net.unix import NAME_SIZE, UnixNames
from pylibos.emulation.outcome import FORWARD, Forward, Translated
from pylibos.emulation.syscalls.params import Address, Fd, Int, Size
from pylibos.emulation.syscalls.table import Route, Support, fallback, forwarded, syscall
from pylibos.monitor.host_abi import HostError

if TYPE_CHECKING:
    from pylibos.emulation.process.thread import Thread

_CREDENTIALS: Final = struct.Struct("<iII")
"""struct ucred: pid, uid, gid."""
_S_IFSOCK: Final = 0o140000
_S_IFMT: Final = 0o170000
_WRITE: Final = 2
_UNIX_FAMILY: Final = c.AF_UNIX.to_bytes(2, "little")


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
def sys_socketpair(thread: Thread, domain: Int, kind: Int, protocol: Int, pair: Address) -> Forward | Translated:
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
        return Translated(arguments=((1, kind & ~c.SOCK_TYPE_MASK | c.SOCK_SEQPACKET),))
    return FORWARD


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


_ISOLATED_ONLY: Final = "names only in a network name space of the guests' own"


@syscall("bind", number=49, route=Route.TRACE, support=Support.PARTIAL, note=_ISOLATED_ONLY)
def sys_bind(thread: Thread, fd: Fd, address: Address, size: Int) -> Forward | Translated:
    """bind(2). Compare Linux net/socket.c:__sys_bind(), net/unix/af_unix.c:unix_bind_bsd().

    Raises: EBADF, ENOTSOCK, EINVAL, EFAULT; EACCES an AF_UNIX name outside isolation; for a path EADDRINUSE and the errors of mknod.
    """
    _require_socket(thread, fd)
    name = read_address(thread.memory, address, size)
    if name.family != c.AF_UNIX:
        return _forward_if_isolated(thread, name)
    if not _isolated(thread):
        raise SyscallError(Errno.EACCES)
    return FORWARD if name.is_abstract else _bind_path(thread, name)


def _bind_path(thread: Thread, name: SocketAddress) -> Translated:
    path = name.unix_path
    executive = thread.executive
    files = executive.files
    directory, last, slash = files.parent(thread, None, path)
    if last in (b".", b"..", b"/") or files.child(thread, directory, last) is not None:
        raise SyscallError(Errno.EADDRINUSE)
    if slash:
        raise SyscallError(Errno.ENOENT)
    may_change(directory, thread.process.credentials)
    host_name = UnixNames.make(executive.host.random_bytes(8))

    def done(result: int) -> None:
        if result == 0:
            # Somebody may have taken the name or the directory meanwhile: the socket then has a name that leads to it no more.
            with suppress(SyscallError, HostError):
                inode = make_node(files, thread, None, path, _S_IFSOCK | 0o777)
                if executive.unix_names is None:
                    executive.unix_names = UnixNames()
                executive.unix_names.enter(inode, host_name, path + b"\0")

    return Translated((1, _UNIX_FAMILY + host_name), done)


@syscall("connect", number=42, route=Route.TRACE, support=Support.PARTIAL, note=_ISOLATED_ONLY)
def sys_connect(thread: Thread, fd: Fd, address: Address, size: Int) -> Forward | Translated:
    """connect(2). Compare Linux net/unix/af_unix.c:unix_stream_connect().

    Raises: EBADF, ENOTSOCK, EINVAL, EFAULT; for an AF_UNIX path ENOENT and the errors of a path walk, EACCES, ECONNREFUSED.
    """
    _require_socket(thread, fd)
    name = read_address(thread.memory, address, size)
    if name.family != c.AF_UNIX or (name.is_abstract and _isolated(thread)):
        return _forward_if_isolated(thread, name)
    return Translated((1, _server(thread, name)))


def _server(thread: Thread, name: SocketAddress) -> bytes:
    """The host address of the socket behind a path. Raises the errors Linux has when there is none."""
    if name.is_abstract:
        raise SyscallError(Errno.ECONNREFUSED)
    inode = thread.executive.files.find(thread, None, name.unix_path)
    if not permitted(inode, thread.process.credentials, _WRITE):
        raise SyscallError(Errno.EACCES)
    names = thread.executive.unix_names
    host_name = None if names is None else names.find(inode)
    if host_name is None or inode.mode & _S_IFMT != _S_IFSOCK:
        raise SyscallError(Errno.ECONNREFUSED)
    return _UNIX_FAMILY + host_name


@fallback("sendto", number=44)
def sys_sendto(
    thread: Thread, fd: Fd, data: Address, size: Size, flags: Int, address: Address, address_size: Int
) -> Forward | Translated:
    """sendto(2) with an address (without one it is native). Compare Linux net/socket.c:__sys_sendto().

    Raises: EBADF, ENOTSOCK, EINVAL, EFAULT; EISCONN outside isolation, where all sockets are streams; those of connect for a path.
    """
    _require_socket(thread, fd)
    name = read_address(thread.memory, address, address_size)
    if not _isolated(thread):
        raise SyscallError(Errno.EISCONN)
    if name.family == c.AF_UNIX and not name.is_abstract:
        return Translated((4, _server(thread, name)))
    return FORWARD


def _showing_paths(thread: Thread, address: int, size_address: int) -> Forward | Translated:
    """Let a call that writes a socket's address run, and put the path where the host has written one of our names."""
    names = thread.executive.unix_names
    if names is None or not address or not size_address:
        return FORWARD
    memory = thread.memory
    room = int.from_bytes(memory.read(size_address, 4), "little")

    def done(result: int) -> None:
        if result < 0:
            return
        with suppress(SyscallError):
            raw = memory.read(address, min(room, 2 + NAME_SIZE))
            shown = names.shown(raw[2:])
            if raw[:2] == _UNIX_FAMILY and shown is not None:
                memory.write(address, (_UNIX_FAMILY + shown)[:room])
                memory.write(size_address, (2 + len(shown)).to_bytes(4, "little"))

    return Translated(None, done)


@syscall("getsockname", number=51, route=Route.TRACE)
def sys_getsockname(thread: Thread, fd: Int, address: Address, size: Address) -> Forward | Translated:
    """getsockname(2): the kernel's answer, paths put back. Raises: EFAULT."""
    return _showing_paths(thread, address, size)


@syscall("getpeername", number=52, route=Route.TRACE)
def sys_getpeername(thread: Thread, fd: Int, address: Address, size: Address) -> Forward | Translated:
    """getpeername(2): as getsockname."""
    return _showing_paths(thread, address, size)


@syscall("accept", number=43, route=Route.TRACE)
def sys_accept(thread: Thread, fd: Int, address: Address, size: Address) -> Forward | Translated:
    """accept(2): as getsockname."""
    return _showing_paths(thread, address, size)


@syscall("accept4", number=288, route=Route.TRACE)
def sys_accept4(thread: Thread, fd: Int, address: Address, size: Address, flags: Int) -> Forward | Translated:
    """accept4(2): as getsockname."""
    return _showing_paths(thread, address, size)


@fallback("recvfrom", number=45)
def sys_recvfrom(thread: Thread, fd: Fd, data: Address, room: Size, flags: Int, address: Address, size: Address) -> Forward | Translated:
    """recvfrom(2) that asks for the sender's name (without it is native): as getsockname."""
    return _showing_paths(thread, address, size)


# -- options ----------------------------------------------------------------------------------------------------------------
@syscall("setsockopt", number=54, route=Route.TRACE, support=Support.PARTIAL, note="levels SOCKET, IP, IPV6, TCP, UDP, ICMPV6, NETLINK")
def sys_setsockopt(thread: Thread, fd: Fd, level: Int, option: Int, value: Address, size: Int) -> Forward:
    """setsockopt(2): forwarded for levels that concern the socket itself. Compare net/socket.c. Raises: ENOPROTOOPT another level."""
    if level not in c.SOCKET_LEVELS:
        raise SyscallError(Errno.ENOPROTOOPT)
    return FORWARD


@syscall("getsockopt", number=55, route=Route.TRACE, support=Support.PARTIAL, note="as setsockopt; SO_PEERGROUPS shows host ids")
def sys_getsockopt(thread: Thread, fd: Fd, level: Int, option: Int, value: Address, size: Address) -> Forward | Translated:
    """getsockopt(2): forwarded for levels that concern the socket itself. Raises: ENOPROTOOPT another level, SO_PEERPIDFD."""
    if level not in c.SOCKET_LEVELS or (level == c.SOL_SOCKET and option == c.SO_PEERPIDFD):
        raise SyscallError(Errno.ENOPROTOOPT)
    if level == c.SOL_SOCKET and option == c.SO_PEERCRED:
        return Translated(None, lambda result: _show_guest_ids(thread, value, size, result))
    return FORWARD


def _show_guest_ids(thread: Thread, value: int, size: int, result: int) -> None:
    """The host's struct ucred has the right process and the host's ids: write what the guest believes (for a dead peer our own)."""
    if result < 0:
        return
    with suppress(SyscallError):
        if int.from_bytes(thread.memory.read(size, 4), "little") == _CREDENTIALS.size:
            pid, _uid, _gid = _CREDENTIALS.unpack(thread.memory.read(value, _CREDENTIALS.size))
            if pid > 0:
                who = (thread.executive.processes.process_of_task(pid) or thread.process).credentials
                thread.memory.write(value, _CREDENTIALS.pack(pid, who.euid, who.egid))


_GRANTED: Final = "on a socket the guest could only get with policy's leave; no name in it can reach the host (module docstring)"

forwarded("listen", 50, route=Route.TRACE, why=_GRANTED)
forwarded("shutdown", 48, route=Route.TRACE, why=_GRANTED)
forwarded("sendmsg", 46, route=Route.TRACE, why=_GRANTED)
forwarded("sendmmsg", 307, route=Route.TRACE, why=_GRANTED)
forwarded("recvmmsg", 299, route=Route.TRACE, why=_GRANTED)
