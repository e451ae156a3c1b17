"""/proc/sys: the sandbox's tunables, kept in the registry.

Owns the table TREE from path to a Setting. A number is a value of \\Registry\\Machine\\System\\Limits, a text one of another key; constants
need no value. Writing is root's (the guest's own root) and changes the registry, which is what uname and the others read: the host's own
settings are never touched. Sources: proc_sys(5) and its pages, Linux Documentation/admin-guide/sysctl/.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from pylibos.abi.errno import Errno
from pylibos.emulation.config_manager.defaults import COMPUTER_NAME, KERNEL, LIMITS
from pylibos.emulation.errors import SyscallError
from pylibos.emulation.fs.synthetic import StaticDirectory, SyntheticFile, SyntheticVolume
from pylibos.emulation.security.capabilities import LAST_CAPABILITY, Capability

if TYPE_CHECKING:
    from collections.abc import Callable

    from pylibos.emulation.process.thread import Thread

NAME_SIZE: Final = 64
"""Longest host and domain name (__NEW_UTS_LEN)."""


class Setting(NamedTuple):
    """One file. ``value``: registry value name (number below Limits unless key is given); ``text``: constant content."""

    value: str = ""
    text: bytes | None = None
    key: str = LIMITS
    writable: bool = False
    render: Callable[[Thread], bytes] | None = None


def _number(value: str) -> Setting:
    return Setting(value, writable=True)


def _uuid(thread: Thread) -> bytes:
    data = bytearray(thread.executive.host.random_bytes(16))
    data[6] = data[6] & 0x0F | 0x40
    data[8] = data[8] & 0x3F | 0x80
    text = data.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}\n".encode()


def _semaphores(_thread: Thread) -> bytes:
    return b"32000\t1024000\t500\t32000\n"


TREE: Final[dict[bytes, Setting]] = {
    b"kernel/hostname": Setting("Hostname", key=COMPUTER_NAME, writable=True),
    b"kernel/domainname": Setting("DomainName", key=COMPUTER_NAME, writable=True),
    b"kernel/ostype": Setting("SysName", key=KERNEL),
    b"kernel/osrelease": Setting("Release", key=KERNEL),
    b"kernel/version": Setting("Version", key=KERNEL),
    b"kernel/arch": Setting("Machine", key=KERNEL),
    b"kernel/pid_max": _number("PidMax"),
    b"kernel/threads-max": _number("ThreadsMax"),
    b"kernel/cap_last_cap": Setting(text=b"%d\n" % LAST_CAPABILITY),
    b"kernel/ngroups_max": Setting("NGroupsMax"),
    b"kernel/overflowuid": Setting(text=b"65534\n"),
    b"kernel/overflowgid": Setting(text=b"65534\n"),
    b"kernel/randomize_va_space": Setting(text=b"2\n"),
    b"kernel/core_pattern": Setting(text=b"core\n"),
    b"kernel/core_uses_pid": Setting(text=b"0\n"),
    b"kernel/tainted": Setting(text=b"0\n"),
    b"kernel/panic": Setting(text=b"0\n"),
    b"kernel/printk": Setting(text=b"4\t4\t1\t7\n"),
    b"kernel/perf_event_paranoid": Setting(text=b"4\n"),
    b"kernel/kptr_restrict": Setting(text=b"2\n"),
    b"kernel/dmesg_restrict": Setting(text=b"1\n"),
    b"kernel/unprivileged_userns_clone": Setting(text=b"0\n"),
    b"kernel/unprivileged_bpf_disabled": Setting(text=b"2\n"),
    b"kernel/io_uring_disabled": Setting(text=b"2\n"),
    b"kernel/sched_child_runs_first": Setting(text=b"0\n"),
    b"kernel/sched_rt_runtime_us": Setting(text=b"950000\n"),
    b"kernel/sched_rt_period_us": Setting(text=b"1000000\n"),
    b"kernel/msgmax": _number("MsgMax"),
    b"kernel/msgmni": _number("MsgMni"),
    b"kernel/msgmnb": _number("MsgMnb"),
    b"kernel/shmmax": _number("ShmMax"),
    b"kernel/shmall": _number("ShmAll"),
    b"kernel/shmmni": _number("ShmMni"),
    b"kernel/sem": Setting(render=_semaphores),
    b"kernel/random/uuid": Setting(render=_uuid),
    b"kernel/random/entropy_avail": Setting(text=b"256\n"),
    b"kernel/random/poolsize": Setting(text=b"256\n"),
    b"kernel/random/urandom_min_reseed_secs": Setting(text=b"60\n"),
    b"kernel/random/write_wakeup_threshold": Setting(text=b"256\n"),
    b"kernel/pty/max": _number("PtyMax"),
    b"kernel/pty/nr": Setting(text=b"0\n"),
    b"kernel/pty/reserve": Setting(text=b"1024\n"),
    b"kernel/yama/ptrace_scope": Setting(text=b"1\n"),
    b"kernel/seccomp/actions_avail": Setting(text=b"kill_process kill_thread trap errno user_notif trace log allow\n"),
    b"vm/overcommit_memory": _number("OvercommitMemory"),
    b"vm/overcommit_ratio": _number("OvercommitRatio"),
    b"vm/overcommit_kbytes": Setting(text=b"0\n"),
    b"vm/max_map_count": _number("MaxMapCount"),
    b"vm/mmap_min_addr": Setting("MmapMinAddr"),
    b"vm/swappiness": _number("Swappiness"),
    b"vm/nr_hugepages": Setting(text=b"0\n"),
    b"vm/nr_overcommit_hugepages": Setting(text=b"0\n"),
    b"vm/min_free_kbytes": Setting(text=b"67584\n"),
    b"vm/dirty_ratio": Setting(text=b"20\n"),
    b"vm/dirty_background_ratio": Setting(text=b"10\n"),
    b"vm/vfs_cache_pressure": Setting(text=b"100\n"),
    b"vm/drop_caches": Setting(text=b"0\n"),
    b"vm/legacy_va_layout": Setting(text=b"0\n"),
    b"fs/file-max": _number("FileMax"),
    b"fs/nr_open": _number("NrOpen"),
    b"fs/file-nr": Setting(text=b"1024\t0\t1048576\n"),
    b"fs/inode-nr": Setting(text=b"1024\t0\n"),
    b"fs/inode-state": Setting(text=b"1024\t0\t0\t0\t0\t0\t0\n"),
    b"fs/dir-notify-enable": Setting(text=b"1\n"),
    b"fs/dentry-state": Setting(text=b"1024\t0\t45\t0\t0\t0\n"),
    b"fs/pipe-max-size": _number("PipeMaxSize"),
    b"fs/pipe-user-pages-soft": _number("PipeUserPagesSoft"),
    b"fs/pipe-user-pages-hard": Setting(text=b"0\n"),
    b"fs/aio-max-nr": _number("AioMax"),
    b"fs/aio-nr": Setting(text=b"0\n"),
    b"fs/lease-break-time": _number("LeaseBreakTime"),
    b"fs/leases-enable": Setting(text=b"1\n"),
    b"fs/mount-max": Setting(text=b"100000\n"),
    b"fs/overflowuid": Setting(text=b"65534\n"),
    b"fs/overflowgid": Setting(text=b"65534\n"),
    b"fs/protected_fifos": Setting(text=b"0\n"),
    b"fs/protected_hardlinks": Setting(text=b"1\n"),
    b"fs/protected_regular": Setting(text=b"0\n"),
    b"fs/protected_symlinks": Setting(text=b"0\n"),
    b"fs/suid_dumpable": Setting(text=b"0\n"),
    b"fs/inotify/max_user_instances": _number("InotifyInstances"),
    b"fs/inotify/max_user_watches": _number("InotifyWatches"),
    b"fs/inotify/max_queued_events": _number("InotifyEvents"),
    b"fs/epoll/max_user_watches": Setting(text=b"1800000\n"),
    b"fs/mqueue/msg_max": Setting(text=b"10\n"),
    b"fs/mqueue/msgsize_max": Setting(text=b"8192\n"),
    b"fs/mqueue/queues_max": Setting(text=b"256\n"),
    b"net/core/somaxconn": _number("SomaxConn"),
    b"net/core/rmem_max": Setting(text=b"212992\n"),
    b"net/core/wmem_max": Setting(text=b"212992\n"),
    b"net/core/rmem_default": Setting(text=b"212992\n"),
    b"net/core/wmem_default": Setting(text=b"212992\n"),
    b"net/core/netdev_max_backlog": Setting(text=b"1000\n"),
    b"net/core/optmem_max": Setting(text=b"131072\n"),
    b"net/ipv4/ip_local_port_range": Setting(text=b"32768\t60999\n"),
    b"net/ipv4/ip_unprivileged_port_start": Setting(text=b"1024\n"),
    b"net/ipv4/ip_forward": Setting(text=b"0\n"),
    b"net/ipv4/ping_group_range": Setting(text=b"1\t0\n"),
    b"net/ipv4/tcp_rmem": Setting(text=b"4096\t131072\t6291456\n"),
    b"net/ipv4/tcp_wmem": Setting(text=b"4096\t16384\t4194304\n"),
    b"net/ipv4/tcp_fin_timeout": Setting(text=b"60\n"),
    b"net/ipv4/tcp_keepalive_time": Setting(text=b"7200\n"),
    b"net/ipv4/tcp_keepalive_intvl": Setting(text=b"75\n"),
    b"net/ipv4/tcp_keepalive_probes": Setting(text=b"9\n"),
    b"net/ipv4/tcp_max_syn_backlog": Setting(text=b"512\n"),
    b"net/ipv4/tcp_syncookies": Setting(text=b"1\n"),
    b"net/ipv4/tcp_tw_reuse": Setting(text=b"2\n"),
    b"net/ipv4/tcp_available_congestion_control": Setting(text=b"reno cubic\n"),
    b"net/ipv4/tcp_congestion_control": Setting(text=b"cubic\n"),
    b"net/ipv4/tcp_fastopen": Setting(text=b"1\n"),
    b"net/ipv6/conf/all/disable_ipv6": Setting(text=b"0\n"),
    b"net/ipv6/conf/default/disable_ipv6": Setting(text=b"0\n"),
    b"net/ipv6/conf/lo/disable_ipv6": Setting(text=b"0\n"),
    b"net/ipv6/bindv6only": Setting(text=b"0\n"),
    b"net/unix/max_dgram_qlen": Setting(text=b"512\n"),
    b"user/max_user_namespaces": Setting(text=b"0\n"),
    b"user/max_inotify_instances": _number("InotifyInstances"),
    b"user/max_inotify_watches": _number("InotifyWatches"),
}
"""Every file below /proc/sys; kernel/random/boot_id is added per volume (one number per sandbox start)."""


def build(volume: SyntheticVolume, boot_id: bytes) -> StaticDirectory:
    """The directory tree of TREE."""
    root = StaticDirectory(volume, 0o555)
    tree = {**TREE, b"kernel/random/boot_id": Setting(text=boot_id)}
    for path, setting in tree.items():
        *parents, name = path.split(b"/")
        directory = root
        for part in parents:
            found = directory.entries.get(part)
            if not isinstance(found, StaticDirectory):
                found = StaticDirectory(volume, 0o555)
                directory.add(part, found)
            directory = found
        write = _writer(setting) if setting.writable else None
        mode = 0o644 if setting.writable else 0o444
        directory.add(name, SyntheticFile(volume, _renderer(setting), write, mode))
    return root


def boot_id(thread_host_random: bytes) -> bytes:
    """A boot id (UUID text and newline) from 16 random bytes."""
    text = thread_host_random.hex()
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-8{text[17:20]}-{text[20:]}\n".encode()


def _renderer(setting: Setting) -> Callable[[Thread], bytes]:
    if setting.render is not None:
        return setting.render

    def render(thread: Thread) -> bytes:
        if setting.text is not None:
            return setting.text
        registry = thread.executive.registry
        if setting.key == LIMITS:
            return b"%d\n" % registry.number(LIMITS, setting.value)
        return registry.text(setting.key, setting.value).encode("utf-8", "surrogateescape") + b"\n"

    return render


def _writer(setting: Setting) -> Callable[[Thread, bytes], None]:
    def write(thread: Thread, data: bytes) -> None:
        if not thread.process.credentials.has_capability(Capability.SYS_ADMIN):
            raise SyscallError(Errno.EPERM)
        registry = thread.executive.registry
        text = data.split(b"\n", 1)[0].strip(b" \t\0")
        if setting.key != LIMITS:
            registry.set_value(setting.key, setting.value, text[:NAME_SIZE].decode("utf-8", "surrogateescape"))
        elif text.isdigit() and len(text) <= 19:
            registry.set_value(LIMITS, setting.value, int(text))
        else:
            raise SyscallError(Errno.EINVAL)

    return write
