"""Builds the executive of one sandbox from a RunConfig: host, name space, file systems, registry, first process.

Owns construction order. After ``attach`` the parts that need the engine (descriptor installation, waits on host streams, timers)
have it.
"""

from __future__ import annotations

import os
import resource
import sys
from typing import TYPE_CHECKING, Final

from pylibos.abi.errno import Errno
from pylibos.emulation.config_manager.defaults import load_defaults
from pylibos.emulation.config_manager.registry import Registry
from pylibos.emulation.errors import SyscallError
from pylibos.emulation.executive import Executive
from pylibos.emulation.fs.context import FsContext
from pylibos.emulation.fs.filesystem import FileSystem
from pylibos.emulation.fs.owners import AS_THEY_ARE, Owners
from pylibos.emulation.fs.permission import permitted
from pylibos.emulation.fs.published import PublishedNames
from pylibos.emulation.io_manager.manager import IoManager
from pylibos.emulation.net.ways import Ways
from pylibos.emulation.object_manager.dispatcher import Event
from pylibos.emulation.object_manager.manager import ObjectManager
from pylibos.emulation.object_manager.waits import WaitQueue
from pylibos.emulation.process.process import Process
from pylibos.emulation.process.table import ProcessTable
from pylibos.emulation.process.thread import Thread
from pylibos.emulation.security.credentials import Credentials
from pylibos.monitor.audit import Audit, AuditFile
from pylibos.monitor.host_abi import HostError, HostStream
from pylibos.monitor.linux_host import LinuxHost, attach, close_host, installable_descriptor
from pylibos.monitor.manifest import MountMode
from pylibos.monitor.policy import Policy
from pylibos.runtime.memory import TaskMemory
from pylibos.runtime.names import ShimNames
from pylibos.runtime.native import ShimNative
from pylibos.runtime.status import ProgramNotExecutable, ProgramNotFound, PylibosError

if TYPE_CHECKING:
    from pylibos.emulation.fs.filesystem import Plan
    from pylibos.emulation.process.job import Job
    from pylibos.monitor.policy import AnyOperation, Decision
    from pylibos.runtime.config import RunConfig
    from pylibos.runtime.installer import Installer
    from pylibos.runtime.network import SandboxNetwork
    from pylibos.runtime.supervisor import Supervisor
    from pylibos.tracer.spawn import Init, Walls

CLOCK_MONOTONIC: Final = 1
EXECUTE: Final = 1
SOURCES_MAX: Final = 1024
"""Descriptors that may be held open for files that guests open again and again."""


class EngineLoop:
    """What the host ABI asks of the event loop: one report per watched stream, one timer."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor

    def wait_register(self, stream: int, events: int) -> None:
        """Report poll events of a stream once; 0 withdraws."""
        self._supervisor.tracer.watch(stream, events, stream)

    def timer_set(self, deadline_ns: int) -> None:
        """The executive's own timers are the wait queue's, which the supervisor arms itself."""
        self._supervisor.tracer.set_deadline(deadline_ns)


class Composition:
    """One sandbox's executive and what the runtime must reach of it."""

    def __init__(self, config: RunConfig, terminal: int | None = None) -> None:
        """terminal: our descriptor of a terminal made for this sandbox; None leaves the guest the standard streams."""
        self.config = config
        self._supervisor: Supervisor | None = None
        self.job: Job | None = None
        """What all guests together are, when they have a limit in common."""
        self.audit = Audit(
            AuditFile(os.fsdecode(config.audit_path)) if config.audit_path is not None else None,
            report=self.report if config.verbose > 0 else None,
        )
        policy = Policy.from_manifest(config.policy)
        self.host = LinuxHost(
            policy,
            ShimNative(),
            recorder=self._record,
            record_all=self.audit.wants_everything or config.verbose > 1,
            console=(0, 1, 2) if terminal is None else (terminal,) * 3,
        )
        self.waits = WaitQueue(lambda: self.host.clock_read(CLOCK_MONOTONIC))
        io = IoManager(self.host)
        files = FileSystem(self.host, io.inodes, _owners(config))
        processes = ProcessTable(TaskMemory)
        registry = Registry(lambda: self.host.clock_read(0))
        load_defaults(registry, hostname=os.fsdecode(config.hostname))
        self.executive = Executive(self.host, ObjectManager(), io, files, processes, registry)
        limits = config.policy.manifest.limits
        if limits.memory is not None or limits.processes is not None:
            from pylibos.emulation.memory.quota import Quota

            self.executive.policy_quota = Quota(limits.memory, limits.processes)
        io.live_guests = lambda: [process.host_pid for process in processes.live()]
        processes.on_process_exit.append(lambda _process: io.process_exited())
        self._mount(files)
        self.credentials = self._credentials()
        if self.executive.terminals is not None:
            self.executive.terminals.give_console(self.credentials.euid, private=terminal is not None)
        self.context = FsContext(files.root, umask=_umask())
        self._scout = Thread(
            Process(self.executive, 0, 0, None, self.credentials, self.context), 0, 0, TaskMemory(0)
        )
        self._enter_directory(config.cwd)
        self._network: SandboxNetwork | None = None
        self._established = Event()
        self.network_failure = ""
        """Why the sandbox must end because it cannot have the network policy grants."""

    def report(self, text: str) -> None:
        """One message to the person, on standard error."""
        sys.stderr.write(text.rstrip("\n") + "\n")

    def descriptor(self, stream: HostStream) -> int:
        """Our own descriptor behind a stream, if a guest may have it. Raises HostError."""
        return installable_descriptor(self.host, stream)

    def _record(self, operation: AnyOperation, path: bytes, decision: Decision) -> None:
        """One decision of the monitor, in the name of the guest whose call asked for it."""
        supervisor = self._supervisor
        thread = None if supervisor is None else supervisor.calling
        if thread is not None:
            self.audit.pid, self.audit.comm = thread.process.pid, thread.comm
        self.audit.record(operation, path, decision)

    # -- building --------------------------------------------------------------------------------------------------
    def _mount(self, files: FileSystem) -> None:
        from pylibos.emulation.fs.standard import publish, standard_mounts

        plan: list[Plan] = []
        for mount in self.config.policy.mount_plan():
            source = None if mount.mode is MountMode.TMPFS else mount.source
            plan.append((mount.guest_path, mount.mode.value, source))
        try:
            files.mount_all(plan[:1])
            files.mount_all(standard_mounts(self.executive))
            files.mount_all(plan[1:])
        except (HostError, SyscallError) as error:
            detail = error.detail if isinstance(error, HostError) else "(a place to mount on)"
            raise PylibosError(f"cannot make the sandbox's file system: {os.strerror(error.errno)} {detail}") from error
        for volume in files.mounts:
            # Set-user-id programs are for a system of the guest's own: what the host has of them trusts the host's accounts.
            volume.no_suid = volume.no_suid or volume.root is not files.root or self.config.policy.manifest.root is None
        publish(self.executive)

    def _credentials(self) -> Credentials:
        config = self.config
        uid = os.getuid() if config.uid is None else config.uid
        gid = os.getgid() if config.gid is None else config.gid
        groups = os.getgroups() if config.uid is None and config.gid is None else []
        return Credentials(uid, gid, tuple(groups))

    def _enter_directory(self, path: bytes | None) -> None:
        for candidate in (path, self.config.policy.home, b"/"):
            if not candidate:
                continue
            try:
                self.context.cwd = self.executive.files.find(self._scout, None, candidate)
            except (SyscallError, HostError):
                continue
            return

    # -- the program --------------------------------------------------------------------------------------------------
    def find(self, path: bytes) -> int:
        """0 when path names a file the guest may execute, else the errno execve would give."""
        try:
            inode = self.executive.files.find(self._scout, None, path)
        except SyscallError as error:
            return int(error.errno)
        except HostError as error:
            return error.errno
        if inode.is_directory or not permitted(inode, self.credentials, EXECUTE):
            return int(Errno.EACCES)
        return 0

    def first_process(self, host_pid: int, guest_pid: int) -> Thread:
        """The process init has just started: the guest's first."""
        thread = self.executive.processes.create_root(self.executive, host_pid, guest_pid, self.credentials, self.context)
        # It belongs to init's group until the setsid it makes before its execve.
        thread.process.pgid = thread.process.sid = 0
        jobs = self.executive.processes.jobs
        if jobs is not None and self.job is not None:
            jobs.assign(self.job, thread.process)
        return thread

    # -- the engine ---------------------------------------------------------------------------------------------------
    def attach(self, supervisor: Supervisor, installer: Installer, walls: Walls, hidden: int = -1) -> None:
        """Give the host what only a running engine has."""
        self._supervisor = supervisor
        attach(self.host, installer=installer.install_for_host, loop=EngineLoop(supervisor), hidden=hidden)
        every_call_is_seen = self.config.trace or self.audit.wants_everything or self.config.verbose > 0
        if self.config.engine == "notify" and not every_call_is_seen:
            sources = min(SOURCES_MAX, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 16)
            self.executive.files.cache.published = PublishedNames(ShimNames(supervisor.tracer, self.descriptor), sources)
        self.executive.observer = supervisor.observed
        self.executive.first_socket_path = lambda: _show_socket_paths(supervisor)
        self.executive.private_pids = walls.pids
        self.executive.private_network = walls.network
        self.executive.private_root = walls.mounts
        if not (walls.network and walls.mounts):
            from pylibos.emulation.net.local import LocalSockets

            self.executive.local = LocalSockets(self.host)
        else:
            host_ports = self._network.host_ports if self._network is not None else ()
            self.executive.ways = Ways(self.host, host_ports)
            if host_ports == () and not self.config.trace:
                supervisor.tracer.let_loopback_connects_pass()
            if self._network is not None:
                self.executive.ways.established = self._established

    def start_network(self, init: Init) -> int | None:
        """Start the network domain if policy needs one; the descriptor to watch. Raises PylibosError."""
        manifest = self.config.policy.manifest
        if not manifest.network_rules and not manifest.publish:
            if manifest.network.value == "loopback":
                from pylibos.runtime.host_names import add_own_name

                add_own_name(self._scout, self.config.hostname)
            return None
        from pylibos.monitor.network.rules import RESOLVER
        from pylibos.runtime.network import SandboxNetwork, write_resolver_files

        self._network = SandboxNetwork(manifest, self._record, record_all=self.audit.wants_everything or self.config.verbose > 1)
        attach(self.host, network=self._network.link)
        for path in write_resolver_files(self._scout, self.config.hostname):
            self.report(f"pylibos: {path} is left as the root has it: names resolve if the root's files lead to {RESOLVER}")
        return self._network.start(init)

    def network_spoke(self) -> int | None:
        """The domain has something to say: the descriptor to watch again, or None at its end (ours, too, if network_failure says why)."""
        network = self._network
        if network is None:
            return None
        descriptor = network.listen()
        if network.link.ready:
            self._established.set()
            if descriptor is None:
                self.report(f"pylibos: no more network: {network.link.failure}")
        elif descriptor is None or network.link.failure:
            self.network_failure = network.link.failure or "no reason given"
            return None
        return descriptor

    def end_network(self) -> None:
        """End the domain; its process may then be waited for."""
        if self._network is not None:
            self._network.link.close()

    def stream_ready(self, stream: int, ready: int) -> None:
        """A host stream the library OS waits for has events."""
        ways = self.executive.ways
        if ways is None or not ways.ready(stream, ready):
            self.executive.files.native_changes.ready(stream)

    def denials(self) -> list[str]:
        """What was refused, a line each."""
        return [denial.line() for denial in self.audit.denials()]

    def close(self) -> None:
        """Say what was denied, close everything."""
        summary = self.audit.summary()
        if summary and self.config.verbose >= 0 and sys.stderr.isatty():
            self.report(summary)
        self.audit.close()
        close_host(self.host)


def _owners(config: RunConfig) -> Owners:
    """An ordinary user who is somebody else inside owns what root owns there."""
    uid = os.getuid()
    return Owners(uid, os.getgid()) if uid and config.uid not in (None, uid) else AS_THEY_ARE


def _show_socket_paths(supervisor: Supervisor) -> None:
    """A path names a socket now: calls that tell of addresses must be seen."""
    from pylibos.emulation.syscalls.sys_sockets import SHOWING_PATHS

    supervisor.tracer.report(SHOWING_PATHS)


def _umask() -> int:
    """The invoker's umask. The Linux host sets ours to 0 when it is made, so the kernel's record is read before."""
    return INVOKER_UMASK


def _read_umask() -> int:
    value = os.umask(0o022)
    os.umask(value)
    return value


INVOKER_UMASK: Final = _read_umask()


def build_executive(config: RunConfig, terminal: int | None = None) -> Composition:
    """Everything that can be made before the first guest instruction. terminal: see Composition."""
    return Composition(config, terminal)


def find_program(composition: Composition, config: RunConfig) -> bytes:
    """The guest path of config.argv[0], found on the guest's PATH when it has no slash. Raises ProgramNotFound, ProgramNotExecutable."""
    name = config.argv[0]
    shown = os.fsdecode(name)
    if b"/" in name:
        candidates = [name]
    else:
        candidates = [directory + b"/" + name for directory in config.environment.get(b"PATH", b"").split(b":") if directory]
    forbidden = False
    for candidate in candidates:
        error = composition.find(candidate)
        if error == 0:
            return candidate
        forbidden = forbidden or error == Errno.EACCES
    if forbidden:
        raise ProgramNotExecutable(f"{shown}: not executable", "check its mode, or grant it with --ro")
    raise ProgramNotFound(f"{shown}: no such program in the sandbox's view", "grant its directory with --ro, or check the name")
