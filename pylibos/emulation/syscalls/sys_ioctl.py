"""ioctl: a list of commands, never a passage.

The filter lets the host kernel execute the commands of IOCTL_DIRECT, chosen by their number alone (the low 32 bits, which the kernel
reads): they use the caller's own memory and act on a descriptor it holds; on one of another kind they are ENOTTY. What is left
comes here: terminal commands that open, impersonate or load something, questions about network interfaces, and everything unknown, which
is ENOTTY.

Adversary: TIOCSTI and TIOCLINUX would type into whatever reads the terminal next, TIOCSETD would load line disciplines of the host. They
have no way through: not by number, not by the upper half of the register.
Sources: ioctl_tty(2), ioctl_pipe(2); Linux drivers/tty/tty_io.c:tty_ioctl().
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pylibos.abi import ioctl
from pylibos.abi.errno import Errno
from pylibos.abi.files import O_PATH, S_IFCHR, S_IFMT, S_IFSOCK, device_major
from pylibos.abi.filter_rules import int_argument_in
from pylibos.emulation.errors import SyscallError
from pylibos.emulation.fs.terminals import PTS_MAJORS, TTY_MAJOR
from pylibos.emulation.net.interfaces import IFCONF, IFREQ_SIZE, INTERFACE_QUERIES, SIOCGIFCONF, describe_loopback
from pylibos.emulation.outcome import FORWARD, Forward
from pylibos.emulation.syscalls.params import Fd, UInt, ULong
from pylibos.emulation.syscalls.table import Route, fallback, forwarded

if TYPE_CHECKING:
    from pylibos.emulation.process.thread import Thread
    from pylibos.monitor.host_abi import DescriptorIdentity

IOCTL_DIRECT: Final = (
    # of any descriptor
    ioctl.FIOCLEX,
    ioctl.FIONCLEX,
    ioctl.FIONBIO,
    ioctl.FIOASYNC,  # who gets SIGIO is F_SETOWN's
    ioctl.FIONREAD,
    # of a terminal
    ioctl.TCGETS,
    ioctl.TCSETS,
    ioctl.TCSETSW,
    ioctl.TCSETSF,
    ioctl.TCGETA,
    ioctl.TCSETA,
    ioctl.TCSETAW,
    ioctl.TCSETAF,
    ioctl.TCGETS2,
    ioctl.TCSETS2,
    ioctl.TCSETSW2,
    ioctl.TCSETSF2,
    ioctl.TCSBRK,
    ioctl.TCSBRKP,
    ioctl.TIOCSBRK,
    ioctl.TIOCCBRK,
    ioctl.TCXONC,
    ioctl.TCFLSH,
    ioctl.TIOCOUTQ,
    ioctl.TIOCGWINSZ,
    ioctl.TIOCSWINSZ,
    ioctl.TIOCGETD,
    ioctl.TIOCNXCL,
    ioctl.TIOCGEXCL,
    ioctl.TIOCGLCKTRMIOS,
    ioctl.TIOCGDEV,
    # job control: the kernel looks at the caller's own session
    ioctl.TIOCSCTTY,
    ioctl.TIOCNOTTY,
    ioctl.TIOCGPGRP,
    ioctl.TIOCSPGRP,
    ioctl.TIOCGSID,
    # of a master: acts on its own slave
    ioctl.TIOCGPTN,
    ioctl.TIOCSPTLCK,
    ioctl.TIOCGPTLCK,
    ioctl.TIOCPKT,
    ioctl.TIOCGPKT,
    ioctl.TIOCSIG,
    # of a socket
    ioctl.SIOCATMARK,
    ioctl.SIOCGSTAMP,
    ioctl.SIOCGSTAMPNS,
)

forwarded(
    "ioctl",
    16,
    route=Route.DIRECT,
    why="commands of terminals, pipes and sockets the guest holds, by number; pointers are to own memory. TIOCSTI and the unknown never",
    alternatives=int_argument_in(1, IOCTL_DIRECT),
    otherwise=Route.NOTIFY,
    errno=Errno.ENOTTY,
)

_PRIVILEGED: Final = frozenset((ioctl.TIOCCONS, ioctl.TIOCVHANGUP, ioctl.TIOCSLCKTRMIOS))
"""What Linux answers without CAP_SYS_ADMIN: EPERM."""


def _interface(thread: Thread, command: int, argument: int) -> Forward | int:
    """A question about a network interface (netdevice(7)): those of the guests' own name space are the kernel's to describe."""
    executive = thread.executive
    if executive.private_network and executive.private_root:
        return FORWARD
    memory = thread.memory
    if command == SIOCGIFCONF:
        _size, address = IFCONF.unpack(memory.read(argument, IFCONF.size))
        memory.write(argument, IFCONF.pack(0, address))  # the loopback is down, and has no address
        return 0
    memory.write(argument, describe_loopback(command, memory.read(argument, IFREQ_SIZE)))
    return 0


@fallback("ioctl", number=16)
def sys_ioctl(thread: Thread, fd: Fd, command: UInt, argument: ULong) -> Forward | int:
    """ioctl(2), the commands the filter does not let through. Raises EBADF; ENOTTY for what is unknown or for another kind of file."""
    executive = thread.executive
    identity = executive.host.descriptor_identity(thread.host_tid, fd)
    if identity.mode & S_IFMT == S_IFSOCK and command in INTERFACE_QUERIES:
        return _interface(thread, command, argument)
    return _terminal(thread, identity, command, argument)


def _terminal(thread: Thread, identity: DescriptorIdentity, command: int, argument: int) -> Forward | int:
    """What concerns a terminal. Raises ENOTTY for the rest."""
    executive = thread.executive
    inode = executive.io.inodes.get((identity.device, identity.inode))
    major = 0 if inode is None else device_major(inode.rdev)
    if identity.mode & S_IFMT != S_IFCHR or not (major in PTS_MAJORS or major in {TTY_MAJOR, TTY_MAJOR + 1}):
        raise SyscallError(Errno.ENOTTY)
    if command == ioctl.TIOCGPTPEER:  # a slave of a master the caller holds; the argument is open flags, no pointer
        if argument & O_PATH:
            raise SyscallError(Errno.EINVAL)
        return FORWARD
    if command == ioctl.TIOCSTI:
        raise SyscallError(Errno.EIO)  # as with dev.tty.legacy_tiocsti = 0
    if command in _PRIVILEGED or (command == ioctl.TIOCLINUX and major == TTY_MAJOR):
        raise SyscallError(Errno.EPERM)
    if command == ioctl.TIOCEXCL:
        # It would outlast the run on the person's own terminal, and which one fd means may change after this look.
        if executive.terminals is not None and executive.terminals.shares_invokers:
            raise SyscallError(Errno.EPERM)
        return FORWARD
    if command == ioctl.TIOCSETD:
        if thread.memory.read(argument, 4) != b"\0\0\0\0":  # N_TTY, which every terminal of a guest has already
            raise SyscallError(Errno.EINVAL)
        return 0
    raise SyscallError(Errno.ENOTTY)
