"""Rows without a handler: the calls the host kernel executes, and the calls refused in the filter, each with its reason.

Owns the host ABI's DIRECT set (at most 48; a test counts) with its argument checks, and the TRACE-forwarded calls that wait
natively. Invariants: a DIRECT call's authority is entirely in descriptors the guest already holds or in its own memory and
threads; no path, no other process and no address of a socket crosses here. Must not know handlers; other argument combinations
than the checks allow go to a fallback() in the family file, or are refused.
Source: docs/contracts.md ("How a call travels"); syscalls(2).
"""

from __future__ import annotations

from typing import Final

from pylibos.abi import fcntl, process
from pylibos.abi.errno import Errno
from pylibos.abi.filter_rules import Alternatives, ArgumentCheck, all_of, int_argument_in
from pylibos.abi.syscall_numbers import NUMBERS
from pylibos.emulation.syscalls.table import Route, forwarded, refused

# -- argument checks ---------------------------------------------------------------------------------------------------

FCNTL_DIRECT: Final = int_argument_in(
    1,
    (
        fcntl.F_DUPFD,
        fcntl.F_GETFD,
        fcntl.F_SETFD,
        fcntl.F_GETFL,
        fcntl.F_SETFL,
        fcntl.F_GETLK,
        fcntl.F_SETLK,
        fcntl.F_SETLKW,
        fcntl.F_GETOWN,
        fcntl.F_GETSIG,
        fcntl.F_GETOWN_EX,
        fcntl.F_OFD_GETLK,
        fcntl.F_OFD_SETLK,
        fcntl.F_OFD_SETLKW,
        fcntl.F_DUPFD_CLOEXEC,
        fcntl.F_SETPIPE_SZ,
        fcntl.F_GETPIPE_SZ,
        fcntl.F_ADD_SEALS,
        fcntl.F_GET_SEALS,
    ),
)
"""Commands on the descriptor itself. Not here: F_SETOWN (names a process), F_SETSIG (any signal), leases and F_NOTIFY (concern a file)."""

CLONE_DECIDED: Final = (
    (process.NAMESPACE_FLAGS & ~process.CLONE_NEWTIME)  # its bit belongs to the exit signal in clone(2)
    | process.CLONE_TRACING  # the child would run without us
    | process.CLONE_PARENT  # the parent is not the creator, which the supervisor must know
    | process.CLONE_PIDFD
)
CLONE_DIRECT: Final = all_of(ArgumentCheck(0, 0, CLONE_DECIDED))

RECVFROM_DIRECT: Final = all_of(ArgumentCheck(4, 0))
"""Nobody asks who sent it."""
SENDTO_DIRECT: Final = all_of(ArgumentCheck(4, 0))
"""No address: the peer was decided when the socket was connected."""

ARCH_PRCTL_DIRECT: Final = all_of(ArgumentCheck(0, process.ARCH_SET_FS, 0xFFFF_FFFF & ~(process.ARCH_SET_FS ^ process.ARCH_GET_FS)))
"""ARCH_SET_FS and ARCH_GET_FS, which differ in one bit: every program sets its thread pointer, once."""

OWN_ROBUST_LIST: Final = all_of(ArgumentCheck(0, 0, 0xFFFF_FFFF))

Direct = tuple[str, str]

_DIRECT: Final[tuple[Direct, ...]] = (
    ("read", "on a descriptor policy has granted"),
    ("write", "on a descriptor policy has granted"),
    ("close", "gives up what the guest holds"),
    ("lseek", "the offset belongs to the open stream"),
    ("mmap", "own memory; files only through a granted descriptor"),
    ("mprotect", "own memory"),
    ("munmap", "own memory"),
    ("brk", "own memory"),
    ("rt_sigaction", "the guest's own handlers"),
    ("rt_sigprocmask", "the thread's own mask"),
    ("rt_sigreturn", "restores the thread's own registers"),
    ("pread64", "on a descriptor policy has granted"),
    ("pwrite64", "on a descriptor policy has granted"),
    ("readv", "on a descriptor policy has granted"),
    ("writev", "on a descriptor policy has granted"),
    ("dup", "one more number for what the guest holds"),
    ("dup2", "one more number for what the guest holds"),
    ("pipe2", "a new object between guests"),
    ("poll", "waits on descriptors the guest holds"),
    ("ppoll", "waits on descriptors the guest holds"),
    ("pselect6", "waits on descriptors the guest holds"),
    ("sched_yield", "no argument"),
    ("mremap", "own memory"),
    ("madvise", "own memory"),
    ("getpid", "process numbers are the host's (or its name space's)"),
    ("getppid", "process numbers are the host's (or its name space's)"),
    ("gettid", "process numbers are the host's (or its name space's)"),
    ("exit", "ends the calling thread"),
    ("exit_group", "ends the calling process"),
    ("wait4", "waits for own children"),
    ("futex", "own memory"),
    ("epoll_wait", "waits on descriptors the guest holds"),
    ("epoll_ctl", "names descriptors the guest holds"),
    ("epoll_pwait", "waits on descriptors the guest holds"),
    ("set_tid_address", "own memory"),
    ("set_robust_list", "own memory"),
    ("rseq", "own memory"),
    ("sigaltstack", "own memory"),
    ("sendfile", "between granted descriptors; the pointer is an offset"),
    ("getrandom", "bytes of the host's generator"),
    ("recvmsg", "on a socket policy has granted; received descriptors were a guest's or ours to give"),
    ("clock_nanosleep", "waits for time"),
)

_DIRECT_CHECKED: Final[tuple[tuple[str, str, Alternatives, Route, Errno], ...]] = (
    ("fcntl", "commands on the descriptor itself; others are emulated", FCNTL_DIRECT, Route.NOTIFY, Errno.EINVAL),
    ("sendto", "without an address; with one the peer is checked", SENDTO_DIRECT, Route.TRACE, Errno.EACCES),
    ("recvfrom", "without an address; with one the sender's name may have to be a guest's", RECVFROM_DIRECT, Route.TRACE, Errno.EACCES),
    ("clone", "without name space, tracing, re-parenting or pidfd flags; name spaces are EPERM", CLONE_DIRECT, Route.TRACE, Errno.EPERM),
    ("arch_prctl", "the thread pointer; no CPUID faulting, shadow stacks or LAM", ARCH_PRCTL_DIRECT, Route.TRACE, Errno.EINVAL),
)

_TRACED: Final[tuple[Direct, ...]] = (
    ("fork", "followed by tracing; no argument"),
    ("vfork", "followed by tracing; no argument"),
    ("waitid", "waits for own children; must be interruptible natively"),
    ("select", "waits on descriptors the guest holds"),
    ("pause", "waits for own signals"),
    ("nanosleep", "waits for time"),
    ("rt_sigpending", "the thread's own signals"),
    ("rt_sigtimedwait", "waits for own signals"),
    ("rt_sigsuspend", "waits for own signals"),
    ("pipe", "a new object between guests"),
    ("restart_syscall", "continues a call already let through"),
    ("eventfd", "a new object of the guest's own"),
    ("eventfd2", "a new object of the guest's own"),
    ("epoll_create", "a new object of the guest's own"),
    ("epoll_create1", "a new object of the guest's own"),
    ("epoll_pwait2", "waits on descriptors the guest holds"),
    ("preadv", "on a descriptor policy has granted"),
    ("pwritev", "on a descriptor policy has granted"),
    ("preadv2", "on a descriptor policy has granted"),
    ("pwritev2", "on a descriptor policy has granted"),
    ("futex_waitv", "own memory"),
    ("futex_wake", "own memory"),
    ("futex_wait", "own memory"),
    ("futex_requeue", "own memory"),
    ("io_setup", "a completion ring in own memory"),
    ("io_destroy", "own memory"),
    ("io_getevents", "waits for own requests"),
    ("io_pgetevents", "waits for own requests"),
    ("io_submit", "read, write, fsync and poll on descriptors the guest holds; Linux AIO opens nothing"),
    ("io_cancel", "own requests"),
)
"""Pointers of these carry no authority (a time-out, a signal set, own buffers), so the kernel may read them again."""

# -- refusals ----------------------------------------------------------------------------------------------------------

_KERNEL_SURFACE: Final = "kernel attack surface a guest has no need of; callers fall back"
_GONE: Final = "not implemented by Linux on x86-64 either"
_PRIVILEGED: Final = "acts on the host's kernel; what Linux answers without the capability"
_MOUNTS: Final = "the name space is the policy's; what Linux answers without CAP_SYS_ADMIN"

Refusals = tuple[Errno, str, tuple[str, ...]]

_REFUSED: Final[tuple[Refusals, ...]] = (
    (
        Errno.ENOSYS,
        "opens, connects and sends without a system call per operation",
        ("io_uring_setup", "io_uring_enter", "io_uring_register"),
    ),
    (
        Errno.ENOSYS,
        _KERNEL_SURFACE,
        ("userfaultfd", "bpf", "perf_event_open", "add_key", "request_key", "keyctl", "modify_ldt", "memfd_secret", "map_shadow_stack"),
    ),
    (Errno.ENOSYS, "the kernel's own trampolines, not for programs", ("uretprobe", "uprobe")),
    (
        Errno.ENOSYS,
        _GONE,
        (
            "_sysctl",
            "create_module",
            "get_kernel_syms",
            "query_module",
            "nfsservctl",
            "getpmsg",
            "putpmsg",
            "afs_syscall",
            "tuxcall",
            "security",
            "vserver",
            "uselib",
            "epoll_ctl_old",
            "epoll_wait_old",
            "lookup_dcookie",
            "set_thread_area",
            "get_thread_area",
        ),
    ),
    (
        Errno.EPERM,
        _PRIVILEGED,
        (
            "iopl",
            "ioperm",
            "kexec_load",
            "kexec_file_load",
            "init_module",
            "delete_module",
            "finit_module",
            "swapon",
            "swapoff",
            "reboot",
            "acct",
            "vhangup",
            "quotactl",
            "quotactl_fd",
            "settimeofday",
            "clock_settime",
            "open_by_handle_at",
            "fanotify_init",
        ),
    ),
    (Errno.EBADF, "no fanotify group can exist (fanotify_init is refused)", ("fanotify_mark",)),
    (
        Errno.EPERM,
        _MOUNTS,
        (
            "mount",
            "umount2",
            "pivot_root",
            "move_mount",
            "open_tree",
            "open_tree_attr",
            "fsopen",
            "fsconfig",
            "fsmount",
            "fspick",
            "mount_setattr",
            "setns",
        ),
    ),
    (Errno.ENOSYS, "obsolete; Linux without CONFIG_SYSFS_SYSCALL, or libc, answers the same", ("sysfs", "ustat")),
    (
        Errno.EOPNOTSUPP,
        "the sandbox's file systems keep no inode flags; what Linux answers for one without",
        ("file_getattr", "file_setattr"),
    ),
    (Errno.ENOSYS, "host mounts are not the guest's", ("statmount", "listmount")),
    (
        Errno.ENOSYS,
        "the guest's security modules are ours; it may not see or stack the host's",
        (
            "lsm_get_self_attr",
            "lsm_set_self_attr",
            "lsm_list_modules",
            "landlock_create_ruleset",
            "landlock_add_rule",
            "landlock_restrict_self",
        ),
    ),
)


def _register() -> None:
    for name, why in _DIRECT:
        forwarded(name, NUMBERS[name], route=Route.DIRECT, why=why)
    for name, why, alternatives, otherwise, errno in _DIRECT_CHECKED:
        forwarded(name, NUMBERS[name], route=Route.DIRECT, why=why, alternatives=alternatives, otherwise=otherwise, errno=errno)
    for name, why in _TRACED:
        forwarded(name, NUMBERS[name], route=Route.TRACE, why=why)
    forwarded(
        "get_robust_list",
        NUMBERS["get_robust_list"],
        route=Route.TRACE,
        why="the calling thread's own list; another thread's is EPERM",
        alternatives=OWN_ROBUST_LIST,
    )
    for errno, why, names in _REFUSED:
        for name in names:
            refused(name, NUMBERS[name], errno, why=why)


_register()
