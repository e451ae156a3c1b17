"""/proc/net: the tables of the guests' own network.

FILES are functions from the calling thread to bytes. Where the guests have a network name space of their own, the tables are the host
kernel's for that name space, with what is not the guests' business taken out: kernel addresses, host user ids (sockets are told to be the
first user's of the sandbox), and the names made up for sockets bound to paths. Where they have none, the tables are empty: the host's are
never read. Sources: Linux net/ipv4/tcp_ipv4.c, net/ipv4/udp.c, net/unix/af_unix.c, net/core/net-procfs.c (formats), proc_pid_net(5).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pylibos.monitor.host_abi import HostError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pylibos.emulation.process.thread import Thread

_SOCKET_COLUMNS: Final = b"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode"
_TCP: Final = _SOCKET_COLUMNS.ljust(149) + b"\n"
_TCP6: Final = (
    b"  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid"
    b"  timeout inode\n"
)
_UDP: Final = (
    b"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops             \n"
)
_DEV: Final = (
    b"Inter-|   Receive                                                |  Transmit\n"
    b" face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n"
    b"    lo:       0       0    0    0    0     0          0         0        0       0    0    0    0     0       0          0\n"
)
_ROUTE: Final = b"Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT".ljust(127) + b"\n"

EMPTY: Final[dict[bytes, bytes]] = {
    b"dev": _DEV,
    b"tcp": _TCP,
    b"tcp6": _TCP6,
    b"udp": _UDP,
    b"udp6": _TCP6,
    b"udplite": _UDP,
    b"raw": _UDP,
    b"raw6": _TCP6,
    b"icmp": _UDP,
    b"unix": b"Num       RefCount Protocol Flags    Type St Inode Path\n",
    b"packet": b"sk               RefCnt Type Proto  Iface R Rmem   User   Inode\n",
    b"netlink": b"sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode\n",
    b"route": _ROUTE,
    b"ipv6_route": b"",
    b"if_inet6": b"00000000000000000000000000000001 01 80 10 80       lo\n",
    b"arp": b"IP address       HW type     Flags       HW address            Mask     Device\n",
    b"wireless": b"",
    b"igmp6": b"",
    b"fib_trie": b"",
    b"snmp6": b"",
    b"udplite6": _TCP6,
    b"icmp6": _TCP6,
    b"ptype": b"Type Device      Function\n",
    b"igmp": b"Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter\n",
    b"dev_mcast": b"",
    b"protocols": b"protocol  size sockets  memory press maxhdr  slab module     cl co di ac io in de sh ss gs se re bi br ha uh gp em\n",
    b"sockstat": b"sockets: used 0\nTCP: inuse 0 orphan 0 tw 0 alloc 0 mem 0\nUDP: inuse 0 mem 0\nUDPLITE: inuse 0\nRAW: inuse 0\n"
    b"FRAG: inuse 0 memory 0\n",
    b"sockstat6": b"TCP6: inuse 0\nUDP6: inuse 0\nUDPLITE6: inuse 0\nRAW6: inuse 0\nFRAG6: inuse 0 memory 0\n",
    b"snmp": b"Ip: Forwarding DefaultTTL\nIp: 2 64\nTcp: RtoAlgorithm RtoMin RtoMax MaxConn\nTcp: 1 200 120000 -1\n",
    b"netstat": b"TcpExt: SyncookiesSent\nTcpExt: 0\nIpExt: InNoRoutes\nIpExt: 0\n",
}
"""Every file, as it is where no socket and no interface but the loopback exists."""

OWN: Final = frozenset(
    b"dev tcp tcp6 udp udp6 udplite udplite6 raw raw6 icmp icmp6 unix route ipv6_route if_inet6 arp igmp igmp6 sockstat sockstat6 snmp "
    b"snmp6 netstat fib_trie".split()
)
"""Tables of one name space, which the host is asked for; the others count for the whole host."""
_SOCKETS: Final = frozenset((b"tcp", b"tcp6", b"udp", b"udp6", b"udplite", b"udplite6", b"raw", b"raw6", b"icmp", b"icmp6"))
_USER_COLUMN: Final = 7
_POINTER_COLUMN: Final = 11
_NO_ADDRESS: Final = b"0" * 16


def _table(name: bytes) -> Callable[[Thread], bytes]:
    """The function that makes one table."""
    empty = EMPTY[name]

    def render(thread: Thread) -> bytes:
        executive = thread.executive
        first = next(iter(executive.processes.live()), None)
        if not executive.private_network or name not in OWN or first is None:
            return empty
        try:
            text = executive.host.process_text(first.host_pid, "net/" + name.decode())
        except HostError:
            return empty
        if name in _SOCKETS:
            return _socket_table(text, first.credentials.ruid)
        return _unix_table(text, thread) if name == b"unix" else text

    return render


def _socket_table(text: bytes, owner: int) -> bytes:
    """Internet sockets: they are the sandbox's first user's, and where the kernel keeps them is nobody's business."""
    lines = text.splitlines()
    for index, line in enumerate(lines[1:], 1):
        fields = line.split(b" ")
        words = [place for place, word in enumerate(fields) if word]
        if len(words) > _POINTER_COLUMN:
            user, pointer = words[_USER_COLUMN], words[_POINTER_COLUMN]
            fields[user] = (b"%d" % owner).rjust(len(fields[user]))
            fields[pointer] = _NO_ADDRESS
            lines[index] = b" ".join(fields)
    return b"".join(line + b"\n" for line in lines)


def _unix_table(text: bytes, thread: Thread) -> bytes:
    """Local sockets: those bound to a path show it, as the guest that bound them gave it."""
    names = thread.executive.unix_names
    rows = text.splitlines()[:1]
    for line in text.splitlines()[1:]:
        _, colon, rest = line.partition(b":")
        head, at, name = rest.partition(b" @")
        shown = names.shown(b"\0" + name) if at and names is not None else None
        if shown is not None:
            rest = head + b" " + shown.partition(b"\0")[0].replace(b"\n", b"\\n")
        rows.append(_NO_ADDRESS + colon + rest if colon else line)
    return b"".join(row + b"\n" for row in rows)


FILES: Final[dict[bytes, Callable[[Thread], bytes]]] = {name: _table(name) for name in EMPTY}
"""Files of /proc/net."""
