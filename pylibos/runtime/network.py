"""The network of one sandbox, for the composition: rules and published ports of the policy made into a network domain.

Owns the link to the domain and its life; imported only by runs whose policy has rules or published ports. Must not decide anything.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from pylibos.emulation.errors import SyscallError
from pylibos.emulation.fs.hostfs import HostVolume
from pylibos.emulation.fs.names import unlink
from pylibos.emulation.fs.opening import open_path
from pylibos.emulation.outcome import Install
from pylibos.emulation.process.process import Process
from pylibos.emulation.process.thread import Thread
from pylibos.emulation.security.credentials import Credentials
from pylibos.monitor.host_abi import HostError
from pylibos.monitor.network.link import NetworkLink, Record
from pylibos.monitor.network.rules import RESOLVER
from pylibos.runtime.status import PylibosError

if TYPE_CHECKING:
    from collections.abc import Container

    from pylibos.monitor.manifest import Manifest, Published
    from pylibos.tracer.spawn import Init

_FILES: Final = (
    (b"/etc/resolv.conf", f"# the sandbox's own\nnameserver {RESOLVER}\n"),
    # What the host knows by file it tells through our name server: a rule by name must see who asks for the name.
    (b"/etc/hosts", "127.0.0.1\tlocalhost {}\n::1\tlocalhost ip6-localhost ip6-loopback\n"),
)
_O_NEW: Final = 0o101 | 0o200
"""O_WRONLY | O_CREAT | O_EXCL."""
_BACKLOG: Final = 128


class HostPorts:
    """Ports of the loopback that rules give to the host's own."""

    def __init__(self, spans: list[tuple[int, int]]) -> None:
        self._spans = spans

    def __contains__(self, port: object) -> bool:
        return isinstance(port, int) and any(first <= port <= last for first, last in self._spans)


class SandboxNetwork:
    """The link, and what starts it."""

    def __init__(self, manifest: Manifest, record: Record, *, record_all: bool) -> None:
        self._published = manifest.publish
        self.link = NetworkLink(manifest.network_rules, record, record_all=record_all)
        loopback = [rule.ports for rule in manifest.network_rules if rule.network is not None and rule.network.is_loopback]
        self.host_ports: Container[int] = HostPorts(loopback)
        self._descriptor: int | None = None

    def start(self, init: Init) -> int:
        """Start the domain; the descriptor to watch. Raises PylibosError."""
        listeners = [(_listener(published), published.guest_port) for published in self._published]
        try:
            self._descriptor = self.link.start(init.pid, user=init.walls.user, published=listeners)
        except OSError as error:
            raise PylibosError(f"cannot start the sandbox's network: {os.strerror(error.errno or 0)}", "see 'pylibos doctor'") from error
        return self._descriptor

    def listen(self) -> int | None:
        """Take what the domain says; the descriptor to watch again, None when it has ended."""
        self.link.receive()
        return self._descriptor if self.link.is_open else None


def _listener(published: Published) -> socket.socket:
    """A listener of the host. Raises PylibosError."""
    listener = socket.socket(socket.AF_INET6 if ":" in published.host else socket.AF_INET)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((published.host, published.port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise PylibosError(
            f"{published.origin}: cannot listen on {published.host}:{published.port}: {os.strerror(error.errno or 0)}",
            "choose another port or address",
        ) from error
    return listener


def write_resolver_files(scout: Thread, hostname: bytes) -> list[str]:
    """Put resolv.conf and hosts of the sandbox's own into the guests' view; they stay in the sandbox. The paths that could not be written.

    Never where writing reaches the host (a writable root): what the tree then says must be arranged by whoever owns it.
    """
    executive = scout.executive
    process = Process(executive, 0, 0, None, Credentials(0, 0), scout.process.fs)
    root = Thread(process, 0, 0, scout.memory)
    return [path.decode() for path, text in _FILES if not _write(root, path, text.format(hostname.decode("ascii", "replace")).encode())]


def _write(root: Thread, path: bytes, text: bytes) -> bool:
    files, host = root.executive.files, root.executive.host
    try:
        directory = files.find(root, None, path.rpartition(b"/")[0])
        if isinstance(directory.volume, HostVolume):
            return False
        with suppress(SyscallError):
            unlink(files, root, None, path)
        outcome = open_path(root, None, path, _O_NEW, 0o644)
    except (SyscallError, HostError):
        return False
    if not isinstance(outcome, Install):
        return False
    host.stream_write(outcome.stream, 0, text)
    if not outcome.keep:
        host.stream_close(outcome.stream)
    return True
