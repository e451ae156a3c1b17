"""Where host streams become guest descriptors: knows the call being answered and the descriptor behind each HostStream.

HostABI.descriptor_install is delegated here by the Linux host; only legal while a notified call is being answered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pylibos.monitor.host_abi import HostError, HostStream

if TYPE_CHECKING:
    from collections.abc import Callable

    from pylibos.tracer.tracer import Tracer

EPERM = 1


class Installer:
    """Answers descriptor_install for the task whose call is being answered."""

    def __init__(self, tracer: Tracer, descriptor: Callable[[HostStream], int]) -> None:
        self._tracer = tracer
        self.descriptor = descriptor
        """Our own descriptor number behind a HostStream."""
        self._call_id = 0
        self._tid = 0

    def begin(self, call_id: int, tid: int) -> None:
        """A call of tid is being answered; call_id 0 when it is a traced one, which cannot take descriptors yet."""
        self._call_id = call_id
        self._tid = tid

    def install(self, host_tid: int, stream: HostStream, close_on_exec: bool) -> int:
        """The new number in the guest. Raises HostError."""
        if not self._call_id or host_tid != self._tid:
            raise HostError(EPERM, "no call of this task is being answered")
        number = self._tracer.install(self._call_id, self.descriptor(stream), close_on_exec)
        if number < 0:
            raise HostError(-number)
        return number
