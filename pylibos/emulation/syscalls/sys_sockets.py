"""Sockets: native where no name reaches outside, refused where one would.

The socket objects are the host's. What makes this safe without copying every message:

* Which sockets a guest can own is decided when they are created. Internet sockets and netlink route sockets (which only read: guests have
  no host capability) exist only in a network name space of the guests' own with an empty host root (``_isolated``). Without it
  socket(AF_INET) is EACCES, as under a Linux security module, and AF_UNIX datagram sockets are not created either, because
  sendmsg could name any host path with them. Stream and sequenced-packet sockets ignore or refuse a name in sendmsg.
* An internet address outside of that name space is asked for before connect and the sends are forwarded: EACCES when no rule grants it,
  and when one does there is somebody behind it (net/ways.py, ADR 16). What the kernel then reads from the guest's memory may be another
  address; it has nobody behind it.
* bind and connect are never forwarded outside isolation, whatever the copied address says: another thread could change it, or the
  descriptor, after the check. AF_UNIX path names belong to the guest's view and are never forwarded at all: in isolation the host
  gets an abstract name in their place (net/unix.py).

Outside isolation sockets with a path are made by the host (net/local.py). Not yet: there abstract names (EACCES, ECONNREFUSED) and datagram
sockets, and datagram pairs notice a closed peer; everywhere a path in sendmmsg, and the path of a bound sender in recvmsg (it shows the
host's name, to which sendto answers); SCM_CREDENTIALS show host ids.

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
from pylibos.emulation.net.addresses import Destination, SocketAddress, destination, read_address
from pylibos.emulation.net.unix import UnixNames
from pylibos.emulation.outcome import FORWARD, Blocking, Forward, Install, Remote, Translated
from pylibos.emulation.security.capabilities import Capability
from pylibos.emulation.syscalls.params import Address, Fd, Int, Size, UInt
from pylibos.emulation.syscalls.table import Route, Support, fallback, forwarded, syscall
from pylibos.monitor.host_abi import HostError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pylibos.emulation.process.thread import Thread
    from pylibos.monitor.host_abi import DescriptorIdentity

_CREDENTIALS: Final = struct.Struct("<iII")
"""struct ucred: pid, uid, gid."""
_S_IFSOCK: Final = 0o140000
_S_IFMT: Final = 0o170000
_WRITE: Final = 2
_UNIX_FAMILY: Final = c.AF_UNIX.to_bytes(2, "little")
_O_NONBLOCK: Final = 0o4000
_PROTOCOL: Final = b"system.sockprotoname"
_NAME: Final = struct.Struct("<QI")
"""The first two fields of struct msghdr: name and its length."""
MESSAGE_HEADER_SIZE: Final = 56
_MMSGHDR_SIZE: Final = 64
_MESSAGES_MAX: Final = 1024
"""UIO_MAXIOV: the kernel sends no more with one sendmmsg."""
_LOW_PORTS: Final = 1024
"""net.ipv4.ip_unprivileged_port_start, as the guest sees it; the host's of this name space is 0."""


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
def sys_socket(thread: Thread, domain: Int, kind: Int, protocol: Int) -> Forward | Install | Blocking:
    """socket(2). Compare Linux net/socket.c:__sys_socket().

    Raises: EACCES internet, netlink and AF_UNIX datagram sockets outside isolation; EPERM raw; EAFNOSUPPORT; EINVAL; EPROTONOSUPPORT.
    """
    base = _socket_type(kind)
    if domain == c.AF_UNIX:
        local = thread.executive.local
        if base in (c.SOCK_STREAM, c.SOCK_SEQPACKET) and local is not None and protocol in (0, c.AF_UNIX):
            return local.make(kind)
        if base in (c.SOCK_STREAM, c.SOCK_SEQPACKET) or _isolated(thread):
            return FORWARD
        raise SyscallError(Errno.EACCES)
    if domain in (c.AF_INET, c.AF_INET6):
        if base == c.SOCK_RAW:
            raise SyscallError(Errno.EPERM)
        if not _isolated(thread):
            raise SyscallError(Errno.EACCES)
        if protocol not in (0, c.IPPROTO_TCP, c.IPPROTO_UDP, c.IPPROTO_UDPLITE):
            raise SyscallError(Errno.EPROTONOSUPPORT)
        ways = thread.executive.ways
        return FORWARD if ways is None else ways.socket()
    if domain == c.AF_NETLINK:
        if protocol != c.NETLINK_ROUTE:  # as of a kernel without it: programs that could use audit or udev then go on
            raise SyscallError(Errno.EPROTONOSUPPORT)
        if not _isolated(thread):
            raise SyscallError(Errno.EACCES)
        ways = thread.executive.ways
        return FORWARD if ways is None else ways.socket()
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
def _require_socket(thread: Thread, fd: int) -> DescriptorIdentity:
    """What fd is. Raise EBADF or ENOTSOCK unless it is a socket."""
    identity = thread.executive.host.descriptor_identity(thread.host_tid, fd)
    if identity.mode & _S_IFMT != _S_IFSOCK:
        raise SyscallError(Errno.ENOTSOCK)
    return identity


def _require_isolation(thread: Thread) -> None:
    """Outside isolation every socket is AF_UNIX: EINVAL is what it answers to a foreign family."""
    if not _isolated(thread):
        raise SyscallError(Errno.EINVAL)


def _outside(thread: Thread, name: SocketAddress) -> Destination | None:
    """What an address names outside of the sandbox. Raises EACCES when there is no way out at all."""
    ways = thread.executive.ways
    where = destination(name, () if ways is None else ways.host_ports)
    if where is not None and ways is None:
        raise SyscallError(Errno.EACCES)
    return where


def _is_stream(thread: Thread, fd: int) -> bool:
    """Whether fd is a TCP socket. Raises EBADF, ENOTSOCK."""
    try:
        protocol = thread.executive.host.attribute_read(b"guest:%d/%d" % (thread.host_tid, fd), _PROTOCOL)
    except HostError as error:
        raise SyscallError(Errno.EBADF if error.errno == Errno.EBADF else Errno.ENOTSOCK) from None
    return protocol in (b"TCP", b"TCPv6", b"MPTCP", b"MPTCPv6")


def _way_for_sends(thread: Thread, fd: int, destinations: list[Destination], flags: int) -> Forward | Blocking:
    """What a send that names these destinations answers. A connected TCP socket ignores names; an unconnected one has no peer."""
    ways = thread.executive.ways
    if not destinations or ways is None:
        return FORWARD
    if _is_stream(thread, fd):
        if flags & c.MSG_FASTOPEN:
            raise SyscallError(Errno.EOPNOTSUPP)
        return FORWARD
    return ways.send(destinations)


_ISOLATED_ONLY: Final = "names only in a network name space of the guests' own"


@syscall("bind", number=49, route=Route.TRACE, support=Support.PARTIAL, note=_ISOLATED_ONLY)
def sys_bind(thread: Thread, fd: Fd, address: Address, size: Int) -> Forward | Translated | Remote:
    """bind(2). Compare Linux net/socket.c:__sys_bind(), net/unix/af_unix.c:unix_bind_bsd().

    Raises: EBADF, ENOTSOCK, EINVAL, EFAULT; EACCES a low port, or an abstract name outside isolation; for a path EADDRINUSE and the errors
    of mknod.
    """
    identity = _require_socket(thread, fd)
    name = read_address(thread.memory, address, size)
    if name.family != c.AF_UNIX:
        _require_isolation(thread)
        may_bind = thread.process.credentials.has_capability(Capability.NET_BIND_SERVICE)
        if name.family in (c.AF_INET, c.AF_INET6) and 0 < name.port < _LOW_PORTS and not may_bind:
            raise SyscallError(Errno.EACCES)
        return FORWARD
    local = thread.executive.local
    if name.is_abstract:
        if not _isolated(thread):
            raise SyscallError(Errno.EACCES)
        return FORWARD
    if _isolated(thread):
        host_name = UnixNames.make(thread.executive.host.random_bytes(8))
        enter = _new_name(thread, name, host_name)

        def done(result: int) -> None:
            if result == 0:
                enter()

        return Translated((1, _UNIX_FAMILY + host_name), done)
    if local is None:
        raise SyscallError(Errno.EACCES)
    label = thread.executive.host.random_bytes(8).hex().encode()
    return local.bind(thread, fd, identity, label, _new_name(thread, name, label))


def _new_name(thread: Thread, name: SocketAddress, host_name: bytes) -> Callable[[], None]:
    """Check a path that a socket is to be bound to; what to do when it has been."""
    path = name.unix_path
    executive = thread.executive
    files = executive.files
    directory, last, slash = files.parent(thread, None, path)
    if last in (b".", b"..", b"/") or files.child(thread, directory, last) is not None:
        raise SyscallError(Errno.EADDRINUSE)
    if slash:
        raise SyscallError(Errno.ENOENT)
    may_change(directory, thread.process.credentials)

    def enter() -> None:
        # Somebody may have taken the name or the directory meanwhile: the socket then has a name that leads to it no more.
        with suppress(SyscallError, HostError):
            inode = make_node(files, thread, None, path, _S_IFSOCK | 0o777)
            if executive.unix_names is None:
                executive.unix_names = UnixNames()
                executive.first_socket_path()
            executive.unix_names.enter(inode, host_name, path + b"\0")

    return enter


@syscall("connect", number=42, route=Route.TRACE, support=Support.PARTIAL, note=_ISOLATED_ONLY)
def sys_connect(thread: Thread, fd: Fd, address: Address, size: Int) -> Forward | Translated | Remote | Blocking:
    """connect(2). Compare Linux net/unix/af_unix.c:unix_stream_connect(), net/ipv4/af_inet.c:inet_stream_connect().

    Raises: EBADF, ENOTSOCK, EINVAL, EFAULT; for an AF_UNIX path ENOENT and the errors of a path walk, EACCES, ECONNREFUSED; for an internet
    address outside EACCES when no rule grants it, and what the attempt ended with.
    """
    identity = _require_socket(thread, fd)
    name = read_address(thread.memory, address, size)
    if name.family == c.AF_UNIX and not (name.is_abstract and _isolated(thread)):
        local = thread.executive.local
        server = _server(thread, name)
        if _isolated(thread):
            return Translated((1, server))
        if local is None:
            raise SyscallError(Errno.ECONNREFUSED)
        return local.connect(thread, fd, identity, server[len(_UNIX_FAMILY) :])
    _require_isolation(thread)
    where = _outside(thread, name)
    ways = thread.executive.ways
    if where is None or ways is None:
        return FORWARD
    if not _is_stream(thread, fd):
        return ways.send([where])
    waits = not thread.executive.host.descriptor_state(thread.host_tid, fd)[0] & _O_NONBLOCK
    return ways.connect(where, (identity.device, identity.inode), waits=waits)


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
) -> Forward | Translated | Blocking:
    """sendto(2) with an address (without one it is native). Compare Linux net/socket.c:__sys_sendto().

    Raises: EBADF, ENOTSOCK, EINVAL, EFAULT; EISCONN outside isolation, where all sockets are streams; those of connect for a path.
    """
    _require_socket(thread, fd)
    name = read_address(thread.memory, address, address_size)
    if not _isolated(thread):
        raise SyscallError(Errno.EISCONN)
    if name.family == c.AF_UNIX and not name.is_abstract:
        return Translated((4, _server(thread, name)))
    where = _outside(thread, name)
    return FORWARD if where is None else _way_for_sends(thread, fd, [where], flags)


def _name_of_message(thread: Thread, header: int) -> SocketAddress | None:
    """The address in a struct msghdr; None when there is none, or one the kernel refuses."""
    address, size = _NAME.unpack(thread.memory.read(header, _NAME.size))
    return read_address(thread.memory, address, size) if address and 2 <= size <= c.ADDRESS_MAX else None


@syscall("sendmsg", number=46, route=Route.TRACE, support=Support.FULL)
def sys_sendmsg(thread: Thread, fd: Fd, header: Address, flags: Int) -> Forward | Translated | Blocking:
    """sendmsg(2): forwarded; an internet destination outside needs a way, an AF_UNIX path is translated. Compare Linux net/socket.c.

    Raises: as sendto.
    """
    name = _name_of_message(thread, header) if _isolated(thread) else None
    if name is None:
        return FORWARD
    if name.family == c.AF_UNIX and not name.is_abstract:
        return Translated(message=thread.memory.read(header, MESSAGE_HEADER_SIZE) + _server(thread, name))
    where = _outside(thread, name)
    return FORWARD if where is None else _way_for_sends(thread, fd, [where], flags)


@syscall("sendmmsg", number=307, route=Route.TRACE, support=Support.PARTIAL, note="no AF_UNIX path as destination")
def sys_sendmmsg(thread: Thread, fd: Fd, headers: Address, count: UInt, flags: Int) -> Forward | Blocking:
    """sendmmsg(2): as sendmsg for each message; one destination without way refuses them all. Raises: as sendto."""
    if not _isolated(thread):
        return FORWARD
    found: dict[Destination, None] = {}
    for index in range(min(count, _MESSAGES_MAX)):
        name = _name_of_message(thread, headers + index * _MMSGHDR_SIZE)
        where = None if name is None else _outside(thread, name)
        if where is not None:
            found[where] = None
    return _way_for_sends(thread, fd, list(found), flags)


SHOWING_PATHS: Final = (43, 45, 51, 52, 288)
"""accept, recvfrom, getsockname, getpeername, accept4: with an address they are only the kernel's until a socket is bound to a path."""


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
            size = int.from_bytes(memory.read(size_address, 4), "little")
            raw = memory.read(address, min(room, size, 2 + c.UNIX_PATH_MAX))
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
@syscall(
    "setsockopt",
    number=54,
    route=Route.TRACE,
    support=Support.PARTIAL,
    note="levels SOCKET, IP, IPV6, TCP, UDP, ICMPV6, NETLINK",
    passes=(1, c.SOCKET_LEVELS),
)
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
            known = thread.executive.processes.process_of_task(pid) is not None
            if thread.executive.local is not None and not known:
                pid = 0  # the host has connected for a guest: nobody knows any more for which
            if pid > 0 or thread.executive.local is not None:
                who = (thread.executive.processes.process_of_task(pid) or thread.process).credentials
                thread.memory.write(value, _CREDENTIALS.pack(pid, who.euid, who.egid))


_GRANTED: Final = "on a socket the guest could only get with policy's leave; no name in it can reach the host (module docstring)"

forwarded("listen", 50, route=Route.TRACE, why=_GRANTED)
forwarded("shutdown", 48, route=Route.TRACE, why=_GRANTED)
forwarded("recvmmsg", 299, route=Route.TRACE, why=_GRANTED)
