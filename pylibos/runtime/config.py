"""What one run is asked to do: RunConfig, the only thing that passes from the command line to the runtime.

Owns the description, decides nothing: policy is the monitor's, already merged from file and flags and pinned to the host. All names a guest
can see are bytes, as Linux has them. Must stay cheap to import: it is on the start-up path of every run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pylibos.abi.record import record

if TYPE_CHECKING:
    from pylibos.monitor.manifest_resolve import ResolvedManifest

DEFAULT_PATH = b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ENGINES = ("notify", "ptrace")
ENFORCED_LIMITS = frozenset({"timeout_ns", "memory", "processes", "descriptors", "file_size", "cpu_ns"})
"""Fields of the manifest's Limits that the runtime enforces; a policy with any other is refused (it must not look kept when it is not)."""


@record
class RunConfig:
    """One sandboxed run.

    argv: the program (looked up on the PATH of ``environment`` in the guest's view when it has no slash) and its arguments.
    cwd: guest directory to start in.
    timeout_ns: wall-clock nanoseconds until the whole guest is killed; None is no limit.
    uid, gid: what the guest believes it is; None is the invoker's.
    trace: whether every call that reaches the supervisor is written to standard error.
    status_fd: the invoker's descriptor the one JSON status line goes to; never visible to the guest.
    """

    argv: tuple[bytes, ...]
    environment: dict[bytes, bytes]
    policy: ResolvedManifest
    cwd: bytes
    engine: str = "notify"
    timeout_ns: int | None = None
    audit_path: bytes | None = None
    status_fd: int | None = None
    status_path: bytes | None = None
    verbose: int = 0
    uid: int | None = None
    gid: int | None = None
    hostname: bytes = b"pylibos"
    trace: bool = False
