"""The composition root: wires monitor, executive and tracer for one sandbox, runs it, takes it down.

Owns the order of things and nothing else. Fail closed: until the seccomp filter is installed and the tracer is attached, no guest
instruction runs; every failure before that is a PylibosError (exit 125), or 126/127 for the program itself.
"""

from __future__ import annotations

import gc
import os
import resource
import select
import signal
import struct
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from pylibos.abi.plan import PASSAGE, pack_init_block
from pylibos.monitor.manifest import Network
from pylibos.runtime.compose import build_executive, find_program
from pylibos.runtime.filters import configure_tracer, load_filter
from pylibos.runtime.installer import NotifyInstaller, TracedInstaller
from pylibos.runtime.status import ExitStatus, PylibosError
from pylibos.runtime.supervisor import Supervisor
from pylibos.runtime.task import Task
from pylibos.tracer.native import loader_image
from pylibos.tracer.spawn import Init, SpawnError, start_init
from pylibos.tracer.tracer import Tracer, TracerError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pylibos.runtime.compose import Composition
    from pylibos.runtime.config import RunConfig
    from pylibos.runtime.memory_limit import MemoryLimit
    from pylibos.runtime.terminal import Terminal

NEW_LISTENER: Final = 8
WAIT_KILLABLE_RECV: Final = 32
LISTENER_TAG: Final = 1 << 32
"""Tag of the control socket among the watched streams, whose tags are descriptor numbers."""
NETWORK_TAG: Final = LISTENER_TAG + 1
"""Tag of the network domain's control socket."""
_OOM_SCORE: Final = 500
ACCOUNT_PERIOD_NS: Final = 50_000_000
"""How often the processor time of all guests is looked at, when it has a limit: what is used beyond it is at most this, per core."""
_FATAL_REQUESTS: Final = 2
"""How often a person must press Ctrl-C for the sandbox to be killed instead of asked."""


def _sealed_memory(name: str, data: bytes) -> int:
    """A read-only descriptor of an anonymous file with this content."""
    writable = os.memfd_create(name, os.MFD_CLOEXEC)
    try:
        os.write(writable, data)
        return os.open(f"/proc/self/fd/{writable}", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(writable)


def _raise_descriptor_limit() -> tuple[int, int]:
    """Every changed file is a descriptor of ours: take what the hard limit allows. The limits before, which are the guest's."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return soft, hard


def _bounded(limits: tuple[int, int], bound: int) -> tuple[int, int]:
    """Soft and hard limit (-1: none), neither above bound."""
    hard = bound if limits[1] < 0 else min(limits[1], bound)
    return (hard if limits[0] < 0 else min(limits[0], hard)), hard


class Run:
    """One sandbox from start to end."""

    def __init__(self, config: RunConfig, descriptor_limits: tuple[int, int], terminal: Terminal | None) -> None:
        self.config = config
        self.terminal = terminal
        wanted = config.policy.manifest.limits.descriptors
        self.descriptor_limits = descriptor_limits if wanted is None else _bounded(descriptor_limits, wanted)
        soft = self.descriptor_limits[0]
        self.passage = min(PASSAGE, (PASSAGE + 1 if soft < 0 else soft) - 1)
        """Below the limit: the loader could not put the descriptor there otherwise."""
        self.traced = config.engine == "ptrace"
        self.network_needed = config.policy.manifest.network is not Network.NONE
        self.timed_out = False
        self.out_of_time = False
        self.memory: MemoryLimit | None = None
        self.requests = 0
        self.tracer = Tracer()
        self.loader = _sealed_memory("pylibos-loader", loader_image())
        self.init: Init | None = None
        self.composition: Composition = build_executive(config, None if terminal is None else terminal.descriptor)
        self._supervisor_class: Callable[..., Supervisor] = Supervisor
        if config.trace:
            from pylibos.runtime.calltrace import tracing_supervisor

            self._supervisor_class = tracing_supervisor()

    def _volunteer(self) -> None:
        """The guests' files in memory are ours to hold: after the guests, the kernel's out-of-memory killer should take us."""
        with suppress(OSError), open("/proc/self/oom_score_adj", "r+") as file:
            if int(file.read()) < _OOM_SCORE:
                file.write(str(_OOM_SCORE))

    def execute(self) -> ExitStatus:
        """Run the program to its end."""
        config = self.config
        composition = self.composition
        path = find_program(composition, config)
        self._volunteer()
        bpf = load_filter(config.engine)
        flags = 0 if self.traced else NEW_LISTENER | WAIT_KILLABLE_RECV
        environment = [name + b"=" + value for name, value in config.environment.items()]
        terminal = self.terminal
        block = pack_init_block(
            bpf, flags, path, config.argv, environment, self.passage if self.traced else 0, terminal=terminal is not None
        )
        standard = (0, 1, 2) if terminal is None else (terminal.descriptor,) * 3
        block_descriptor = _sealed_memory("pylibos-init", block)
        try:
            init = start_init(standard, block_descriptor, self.loader, loopback=True, keep_peer=self.traced)
        except SpawnError as error:
            raise PylibosError(f"cannot start the sandbox: {error}", "run 'pylibos doctor' to see what this host lacks") from error
        finally:
            os.close(block_descriptor)
        self.init = init
        if self.network_needed and not (init.walls.network and init.walls.mounts):
            self._abandon(init)
            raise PylibosError(
                f"the network '{config.policy.manifest.network.value}' needs a network and a mount name space, and this host gives none",
                "leave --net and --publish (or network and publish in the policy) out, or see 'pylibos doctor'",
            )
        try:
            network = composition.start_network(init)
        except PylibosError:
            self._abandon(init)
            raise
        supervisor = self._supervisor(init)
        try:
            if network is not None:
                self.tracer.watch(network, select.POLLIN, NETWORK_TAG)
            self.tracer.seize(init.pid)
            self._limit(init.pid)
            init.control.send(struct.pack("<Q", len(block)))
            gc.freeze()
            gc.enable()
            gc.set_threshold(20_000, 20, 50)  # a call leaves no cycles; a process some dozen objects
            status = supervisor.run()
        except TracerError as error:
            raise PylibosError(f"interception failed: {error}", "run 'pylibos doctor' to see what this host lacks") from error
        finally:
            composition.end_network()
            supervisor.close()
        if composition.network_failure:
            raise PylibosError(f"the sandbox's network could not be kept: {composition.network_failure}", "see 'pylibos doctor'")
        return self._exit_status(status)

    def _limit(self, pid: int) -> None:
        """The limits that are the host kernel's to keep: init has them, and every guest inherits them. None can be raised inside."""
        resource.prlimit(pid, resource.RLIMIT_NOFILE, self.descriptor_limits)
        size = self.config.policy.manifest.limits.file_size
        if size is not None:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, _bounded(resource.prlimit(pid, resource.RLIMIT_FSIZE), size))
        memory = self.config.policy.manifest.limits.memory
        if memory is not None:
            from pylibos.runtime.memory_limit import DATA_FACTOR

            resource.prlimit(pid, resource.RLIMIT_DATA, _bounded(resource.prlimit(pid, resource.RLIMIT_DATA), DATA_FACTOR * memory))

    @staticmethod
    def _abandon(init: Init) -> None:
        """The guest never ran: end what would have become it."""
        os.kill(init.pid, signal.SIGKILL)
        os.waitpid(init.pid, 0)

    def _supervisor(self, init: Init) -> Supervisor:
        composition = self.composition
        installer: NotifyInstaller | TracedInstaller
        if init.peer is None:
            installer = NotifyInstaller(self.tracer)
        else:
            installer = TracedInstaller(self.tracer, (init.control, init.peer), self.passage)
        status = os.fstat(self.loader)
        supervisor = self._supervisor_class(
            self.tracer,
            composition.executive,
            composition.waits,
            installer,
            (self.loader, (status.st_dev, status.st_ino)),
            descriptor=composition.descriptor,
            report=composition.report,
        )
        if isinstance(installer, TracedInstaller):
            installer.run_to_exit = supervisor.run_to_exit
            self.tracer.protect(self.passage)
        supervisor.only_traced = self.traced
        supervisor.init_pid = init.pid
        supervisor.on_stream = lambda tag, ready: self._stream(supervisor, tag, ready)
        if not self.traced:
            self.tracer.watch(init.control.fileno(), select.POLLIN, LISTENER_TAG)
        supervisor.on_first_process = self._first_process
        supervisor.on_request = lambda number: self._request(supervisor, number)
        composition.attach(supervisor, installer, init.walls, -1 if init.peer is None else self.passage)
        configure_tracer(self.tracer, traced=self.traced, report_all=self.config.trace)
        if init.walls.pids:
            supervisor.name_space = os.open(f"/proc/{init.pid}/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
        composition.executive.processes.above = supervisor.guest_pid(init.pid)
        limits = self.config.policy.manifest.limits
        if limits.processes is not None:
            supervisor.tasks_max = min(supervisor.tasks_max, limits.processes)
        if limits.memory is not None:
            self._watch_memory(supervisor, limits.memory)
        if limits.cpu_ns is not None:
            self._watch_processor_time(supervisor, limits.cpu_ns)
        if self.config.timeout_ns is not None:
            now = composition.executive.host.clock_read(1)
            composition.waits.timers.add(now + self.config.timeout_ns, lambda: self._time_out(supervisor))
            supervisor.arm_timer()
        return supervisor

    def _watch_processor_time(self, supervisor: Supervisor, limit_ns: int) -> None:
        """All guests are one job; its account is looked at often, and a job that has used its time ends."""
        from pylibos.emulation.process.job import Job, JobLimits, JobTable

        executive = self.composition.executive
        job = Job("Sandbox", JobLimits(job_time_ns=limit_ns))
        executive.processes.jobs = JobTable()
        self.composition.job = job

        def look() -> None:
            if job.enforce(executive.host):
                self.out_of_time = True
                supervisor.main_status = signal.SIGKILL
                return
            self.composition.waits.timers.add(executive.host.clock_read(1) + ACCOUNT_PERIOD_NS, look)

        look()
        supervisor.arm_timer()

    def _watch_memory(self, supervisor: Supervisor, limit: int) -> None:
        """Look at what the guests use until the end."""
        from pylibos.runtime.memory_limit import MemoryLimit

        def kill_all() -> None:
            supervisor.main_status = signal.SIGKILL

        executive = self.composition.executive
        keeper = self.memory = MemoryLimit(executive, limit, os.fstat(self.loader).st_dev, kill_all, self._say)

        def look() -> None:
            self.composition.waits.timers.add(executive.host.clock_read(1) + keeper.look(), look)

        look()
        supervisor.arm_timer()

    def _say(self, text: str) -> None:
        if self.config.verbose >= 0:
            self.composition.report(text)

    def _stream(self, supervisor: Supervisor, tag: int, ready: int) -> None:
        if tag == NETWORK_TAG:
            network = self.composition.network_spoke()
            if network is not None:
                self.tracer.watch(network, select.POLLIN, NETWORK_TAG)
            elif self.composition.network_failure:
                supervisor.main_status = signal.SIGKILL
        elif tag != LISTENER_TAG:
            self.composition.stream_ready(tag, ready)
        elif self.init is not None:
            self.tracer.accept_listener(self.init.control.fileno())

    def _first_process(self, host_pid: int, guest_pid: int) -> Task:
        return Task(self.composition.first_process(host_pid, guest_pid))

    def _time_out(self, supervisor: Supervisor) -> None:
        self.timed_out = True
        supervisor.main_status = signal.SIGKILL

    def _request(self, supervisor: Supervisor, number: int) -> None:
        """A signal for the supervisor: the main program gets it; a repeated one ends the sandbox, and so does a lost terminal."""
        self.requests += 1
        if self.requests > _FATAL_REQUESTS or supervisor.main is None or (self.terminal is not None and self.terminal.is_lost()):
            supervisor.main_status = number
            return
        try:
            os.kill(supervisor.main_pid, number)
        except ProcessLookupError:
            supervisor.main_status = number

    def _exit_status(self, status: int) -> ExitStatus:
        denied = self.composition.denials()
        if self.timed_out:
            return ExitStatus(reason="timeout", denied=denied)
        if self.out_of_time:
            return ExitStatus(signal=signal.SIGKILL, reason="limit:cpu", denied=denied)
        if self.memory is not None and self.memory.exceeded:
            return ExitStatus(signal=signal.SIGKILL, reason="limit:memory", denied=denied)
        if os.WIFSIGNALED(status):
            return ExitStatus(signal=os.WTERMSIG(status), reason="signal", denied=denied)
        return ExitStatus(code=os.WEXITSTATUS(status), denied=denied)


def run(config: RunConfig, terminal: Terminal | None = None) -> ExitStatus:
    """Run one program in a sandbox, on a terminal of its own or on the standard streams. Raises PylibosError when it could not even
    be started."""
    limits = _raise_descriptor_limit()
    restore: Callable[[], None] | None = None
    if terminal is None and (os.isatty(0) or os.isatty(1) or os.isatty(2)):
        from pylibos.runtime.terminal import keep_modes

        restore = keep_modes()
    try:
        sandbox = Run(config, limits, terminal)
    except TracerError as error:
        raise PylibosError(f"interception is not possible: {error}", "run 'pylibos doctor'") from error
    try:
        return sandbox.execute()
    finally:
        if restore is not None:
            restore()
        sandbox.composition.close()
        sys.stderr.flush()
