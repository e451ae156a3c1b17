"""LinuxHost: the host ABI on Linux, in the supervisor's own process.

What it is: the composition of the four sections (streams, names, guests, system), each in its own module with its own state. Owns
the supervisor's umask, set to 0 because the library OS applies the guest's umask itself.
Must not know the emulation, the tracer or the loop's kind: what it needs of them (installer, loop) is handed in.
A HostStream is the supervisor's descriptor number (an installer and a loop may rely on that; the library OS may not).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pylibos.monitor.linux_guests import Installer, LinuxGuests
from pylibos.monitor.linux_names import LinuxNames
from pylibos.monitor.linux_paths import Paths, Recorder
from pylibos.monitor.linux_streams import LinuxStreams
from pylibos.monitor.linux_system import LinuxSystem, Loop

if TYPE_CHECKING:
    from pylibos.monitor.host_abi import HostABI, HostStream
    from pylibos.monitor.native import Native
    from pylibos.monitor.network.link import NetworkLink
    from pylibos.monitor.policy import Policy


class LinuxHost(LinuxStreams, LinuxNames, LinuxGuests, LinuxSystem):
    """Implements HostABI. Each base class is one section of the interface and keeps its own state."""

    def __init__(
        self,
        policy: Policy,
        native: Native | None = None,
        *,
        installer: Installer | None = None,
        loop: Loop | None = None,
        recorder: Recorder | None = None,
        record_all: bool = False,
        console: tuple[int, ...] = (0, 1, 2),
    ) -> None:
        """native: None loads the ctypes fallback. recorder: told of denials, or of every decision with record_all."""
        if native is None:
            from pylibos.monitor.native_ctypes import CtypesNative

            native = CtypesNative()
        os.umask(0)
        paths = Paths(policy, native, recorder, record_all=record_all)
        LinuxStreams.__init__(self, paths, console)
        LinuxNames.__init__(self, paths)
        LinuxGuests.__init__(self, native, installer, self._installable)
        LinuxSystem.__init__(self, loop, self._origin)


def attach(
    host: LinuxHost,
    *,
    installer: Installer | None = None,
    loop: Loop | None = None,
    network: NetworkLink | None = None,
    hidden: int | None = None,
) -> None:
    """Hand over what exists only once the engine runs. hidden: the descriptor number that is the engine's own in every guest."""
    if hidden is not None:
        host._hidden = hidden
    if network is not None:
        host._network = network
    if installer is not None:
        host._installer = installer
    if loop is not None:
        host._loop = loop


def installable_descriptor(host: LinuxHost, stream: HostStream) -> int:
    """The supervisor's descriptor behind a handle, for giving it to a guest. HostError EBADF, or EPERM for what must stay outside.

    Every way into a guest's table must pass through here: an open host directory in a guest would be a way out of its view.
    """
    return host._installable(stream)


def close_host(host: LinuxHost) -> None:
    """Close every handle. The host must not be used afterwards."""
    for stream in list(host._streams):
        host.stream_close(stream)  # type: ignore[arg-type]  # a HostStream is the number
    host._tokens.close()
    if host._network is not None:
        host._network.close()


def _conforms(host: LinuxHost) -> HostABI:
    """For the type checker: LinuxHost has the shape of HostABI."""
    return host
