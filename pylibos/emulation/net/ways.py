"""Ways out of the sandbox's own network: what connect and the sends do before they reach for an address outside.

What it is: the waiting between a guest's call and the host's word (the ``tcp:`` and ``udp:`` streams of the host ABI). The guest's socket
stays its own, in the sandbox's network name space: once there is a way, the call is forwarded as it stands, and the kernel connects it
to the listener that stands for the destination. So nothing rests on what the call's pointers lead to: an address that was not decided
on has nobody behind it. Owns the dials under way, by the socket they are for.

A guest that waits sleeps until the outcome is known. One that does not (O_NONBLOCK) sleeps PATIENCE_NS at most; then its SYN is held
back and its connect is forwarded, so that it is in progress as Linux has it. Bounded: UNFINISHED_MAX dials are kept for a connect that
was interrupted or goes on; the oldest is given up.
Must not know engines. Sources: connect(2), Linux net/ipv4/af_inet.c (inet_stream_connect).
"""

from __future__ import annotations

from collections.abc import Container
from typing import TYPE_CHECKING, Final

from pylibos.abi.errno import Errno
from pylibos.emulation.errors import Interrupted
from pylibos.emulation.object_manager.dispatcher import Event, StreamReady
from pylibos.emulation.outcome import FORWARD, Wait
from pylibos.monitor.host_abi import Access, HostError

if TYPE_CHECKING:
    from pylibos.emulation.net.addresses import Destination
    from pylibos.emulation.outcome import Blocking, Forward
    from pylibos.monitor.host_abi import HostABI, HostStream

POLLIN: Final = 1
PATIENCE_NS: Final = 100_000_000
"""How long a connect that does not wait may take all the same: most destinations answer within, and it then has its true result."""
UNFINISHED_MAX: Final = 64
DATAGRAMS_MAX: Final = 256
DATAGRAM_WAY_NS: Final = 5_000_000_000
"""How long a way for datagrams is believed to stand: the host keeps an idle one for minutes, but not one where nobody was."""
CLOCK_MONOTONIC: Final = 1
NO_INTERRUPT: Final = -513
"""-ERESTARTNOINTR: the call is made again whatever the signal's handler wants."""

Socket = tuple[int, int]
"""(device, inode) of a guest's socket."""


class Ways:
    """The ways of one sandbox. host_ports: ports of the loopback that lead to the host's own, by rules that name it."""

    def __init__(self, host: HostABI, host_ports: Container[int] = ()) -> None:
        self._host = host
        self.host_ports = host_ports
        self._waiting: dict[int, StreamReady] = {}
        self._unfinished: dict[tuple[Socket, Destination], tuple[HostStream, bool]] = {}
        """Dials whose connect was interrupted, or (True) whose SYN is held back."""
        self._datagrams: dict[Destination, int] = {}
        self.established: Event | None = None
        """Set up, but not ready yet: signalled when guests may have sockets."""

    def ready(self, stream: int, events: int) -> bool:
        """The event loop's report: whether the stream was a way's."""
        waiting = self._waiting.get(stream)
        if waiting is None:
            return False
        waiting.ready(events)
        return True

    # -- streams -------------------------------------------------------------------------------------------------------
    def connect(self, where: Destination, socket: Socket, *, waits: bool) -> Blocking:
        """Have a way for a connection, then let the kernel connect. waits: the guest's descriptor is a blocking one."""
        key = (socket, where)
        kept = self._unfinished.pop(key, None)
        if kept is not None and kept[1] and self._still_held(kept[0]):
            self._keep(key, kept[0], held=True)
            return FORWARD
        stream = kept[0] if kept is not None and not kept[1] else self._host.stream_open(where.uri(b"tcp"), Access.READ_WRITE)
        ready = self._waiting[stream] = StreamReady(self._host, stream, POLLIN)
        done = kept_open = False
        try:
            if (yield Wait((ready,), timeout_ns=None if waits else PATIENCE_NS)) is None:
                self._host.stream_write(stream, -1, b"h")
                yield Wait((ready,))
                self._outcome(stream)
                self._keep(key, stream, held=True)
                kept_open = True
                return FORWARD
            done = True
            self._outcome(stream)
        except Interrupted:
            if not done:
                self._keep(key, stream, held=False)
                kept_open = True
            if waits:
                raise
            return NO_INTERRUPT
        finally:
            del self._waiting[stream]
            if not kept_open:
                self._host.stream_close(stream)
        return FORWARD

    def _still_held(self, stream: HostStream) -> bool:
        """Whether the host still dials for a connect that is in progress; if not, its stream is closed."""
        try:
            self._host.stream_read(stream, -1, 1)
        except HostError as error:
            if error.errno == Errno.EAGAIN:
                return True
        self._host.stream_close(stream)
        return False

    def _outcome(self, stream: HostStream) -> None:
        """Raise the errno a way ended with, if any; nothing at all is the end of the host's side."""
        answer = self._host.stream_read(stream, -1, 4)
        number = int.from_bytes(answer, "little") if len(answer) == 4 else int(Errno.ENETUNREACH)
        # Where nobody listens nobody listens inside either: the kernel refuses the guest's own connect, at the moment it should.
        if number not in (0, Errno.ECONNREFUSED):
            raise HostError(number)

    def _keep(self, key: tuple[Socket, Destination], stream: HostStream, *, held: bool) -> None:
        before = self._unfinished.pop(key, None)
        if before is not None:  # another thread's connect of the same socket
            self._host.stream_close(before[0])
        while len(self._unfinished) >= UNFINISHED_MAX:
            self._host.stream_close(self._unfinished.pop(next(iter(self._unfinished)))[0])
        self._unfinished[key] = (stream, held)

    # -- datagrams -----------------------------------------------------------------------------------------------------
    def send(self, destinations: list[Destination]) -> Forward | Blocking:
        """Have ways for datagrams to all of these, then let the kernel send."""
        now = self._host.clock_read(CLOCK_MONOTONIC)
        missing = [where for where in destinations if self._datagrams.get(where, 0) <= now]
        return self._open_datagrams(missing) if missing else FORWARD

    def _open_datagrams(self, missing: list[Destination]) -> Blocking:
        for where in missing:
            stream = self._host.stream_open(where.uri(b"udp"), Access.READ_WRITE)
            ready = self._waiting[stream] = StreamReady(self._host, stream, POLLIN)
            try:
                yield Wait((ready,))
                self._outcome(stream)
            except Interrupted:
                return NO_INTERRUPT
            finally:
                del self._waiting[stream]
                self._host.stream_close(stream)
            while len(self._datagrams) >= DATAGRAMS_MAX:
                del self._datagrams[next(iter(self._datagrams))]
            self._datagrams[where] = self._host.clock_read(CLOCK_MONOTONIC) + DATAGRAM_WAY_NS
        return FORWARD

    # -- the beginning -------------------------------------------------------------------------------------------------
    def socket(self) -> Forward | Blocking:
        """A guest makes an internet socket: it waits while the sandbox's network is being set up."""
        return FORWARD if self.established is None or self.established.signaled else self._await_network(self.established)

    @staticmethod
    def _await_network(established: Event) -> Blocking:
        try:
            yield Wait((established,))
        except Interrupted:
            return NO_INTERRUPT
        return FORWARD
