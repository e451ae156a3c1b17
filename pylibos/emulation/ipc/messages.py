"""System V message queues: typed messages in order, senders that wait for room, receivers that wait for a type.

Owns the queues of one sandbox and the bytes in them, which are bounded for all together. A message goes straight to the first waiting
receiver whose type fits, as in Linux. Must not know guests' memory. Sources: Linux 6.18 ipc/msg.c; msgop(2), msgctl(2).

Invariants: a queued receiver fits no message in its queue; a queue that was removed has no waiters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from pylibos.abi.errno import Errno
from pylibos.abi.ipc import IPC_NOWAIT, MSG_COPY, MSG_EXCEPT, MSG_NOERROR, MSQID_TAIL
from pylibos.emulation.errors import SyscallError
from pylibos.emulation.ipc.objects import READ, WRITE, IpcObject, IpcTable
from pylibos.emulation.object_manager.dispatcher import Event
from pylibos.emulation.outcome import Wait
from pylibos.emulation.security.capabilities import Capability

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from pylibos.emulation.process.process import Process
    from pylibos.emulation.security.credentials import Credentials

TOTAL_BYTES: Final = 64 << 20
"""What all messages of a sandbox may take of our memory, overhead included."""
OVERHEAD_BYTES: Final = 256
"""What keeping a message costs beyond its text."""
_LONG_MAX: Final = (1 << 63) - 1


class Message(NamedTuple):
    """One message."""

    type: int
    text: bytes


class Receiver:
    """A msgrcv that found nothing."""

    __slots__ = ("event", "flags", "message", "pid", "size", "too_small", "type")

    def __init__(self, wanted: int, size: int, flags: int, pid: int) -> None:
        self.type = wanted
        self.size = size
        self.flags = flags
        self.pid = pid
        self.event = Event()
        self.message: Message | None = None
        self.too_small = False
        """A message of its type came that it has no room for."""

    def wants(self, message: Message) -> bool:
        """testmsg(): whether the message is of a type it takes."""
        if self.type == 0:
            return True
        if self.type < 0:
            return message.type <= min(-self.type, _LONG_MAX)
        return (message.type != self.type) == bool(self.flags & MSG_EXCEPT)

    def fits(self, message: Message) -> bool:
        """Whether its buffer takes the message, perhaps shortened."""
        return len(message.text) <= self.size or bool(self.flags & MSG_NOERROR)


class MessageQueue(IpcObject):
    """One queue."""

    __slots__ = (
        "bytes", "change_s", "limit", "messages", "receive_pid", "receive_s", "receivers", "removed", "send_pid", "send_s", "senders",
    )  # fmt: skip

    def __init__(self, key: int, flags: int, who: Credentials, pid: int, limit: int, now_s: int) -> None:
        super().__init__(key, flags, who, pid)
        self.messages: list[Message] = []
        self.bytes = 0
        self.limit = limit
        self.receivers: dict[Receiver, None] = {}
        self.senders: dict[Event, None] = {}
        self.removed = False
        self.send_s = self.receive_s = 0
        self.send_pid = self.receive_pid = 0
        self.change_s = now_s

    def has_room(self, size: int) -> bool:
        """Whether a message of size bytes may be queued."""
        return self.bytes + size <= self.limit and len(self.messages) < self.limit

    def status(self) -> bytes:
        """struct msqid64_ds."""
        tail = (self.send_s, self.receive_s, self.change_s, self.bytes, len(self.messages), self.limit, self.send_pid, self.receive_pid)
        return self.perm() + MSQID_TAIL.pack(*tail, 0, 0)

    def line(self) -> bytes:
        """Its line of /proc/sysvipc/msg."""
        head = b"%10d %10d  %4o  %10d %10d " % (self.key, self.identifier, self.mode, self.bytes, len(self.messages))
        owners = b"%5d %5d %5d %5d %5d %5d " % (self.send_pid, self.receive_pid, self.uid, self.gid, self.cuid, self.cgid)
        return head + owners + b"%10d %10d %10d\n" % (self.send_s, self.receive_s, self.change_s)

    def wake_senders(self) -> None:
        """There may be room: each looks again, in its order."""
        for event in tuple(self.senders):
            event.set()


class Messages:
    """All queues of a sandbox. ``limit(name)`` reads MsgMax, MsgMnb and MsgMni."""

    __slots__ = ("_kept", "_limit", "_now_s", "queues")

    def __init__(self, now_s: Callable[[], int], limit: Callable[[str], int], queues: IpcTable[MessageQueue]) -> None:
        self.queues = queues
        self._now_s = now_s
        self._limit = limit
        self._kept = 0

    def get(self, process: Process, key: int, flags: int) -> int:
        """msgget(2). Raises ENOENT, EEXIST, EACCES, ENOSPC."""

        def make() -> MessageQueue:
            return MessageQueue(key, flags, process.credentials, process.pid, self._limit("MsgMnb"), self._now_s())

        return self.queues.get(key, flags, process.credentials, lambda _found: None, make, self._limit("MsgMni"))

    def change(self, identifier: int, who: Credentials, perm: bytes, limit: int) -> None:
        """IPC_SET. Raises EINVAL, EPERM (not the owner; or more room than MsgMnb without CAP_SYS_RESOURCE)."""
        queue = self.queues.find(identifier)
        queue.require_owner(who)
        if limit > self._limit("MsgMnb") and not who.has_capability(Capability.SYS_RESOURCE):
            raise SyscallError(Errno.EPERM)
        queue.change(perm)
        queue.limit = limit
        queue.change_s = self._now_s()
        queue.wake_senders()

    def remove(self, gone: MessageQueue) -> None:
        """IPC_RMID: who waits gets EIDRM."""
        self.queues.remove(gone)
        gone.removed = True
        for message in gone.messages:
            self._kept -= len(message.text) + OVERHEAD_BYTES
        gone.messages.clear()
        for event in (*gone.senders, *(receiver.event for receiver in gone.receivers)):
            event.set()

    def totals(self) -> tuple[int, int]:
        """(messages, bytes of text) in all queues."""
        return sum(len(queue.messages) for queue in self.queues), sum(queue.bytes for queue in self.queues)

    # -- sending -----------------------------------------------------------------------------------------------------------
    def check_size(self, size: int) -> None:
        """Raises EINVAL: longer than any message may be."""
        if size > self._limit("MsgMax"):
            raise SyscallError(Errno.EINVAL)

    def send(self, process: Process, identifier: int, message: Message, flags: int) -> Generator[Wait, int | None, int]:
        """msgsnd(2) of a message already copied in. Raises EINVAL, EACCES, EAGAIN, EIDRM, ENOMEM."""
        queue = self.queues.find(identifier)
        while True:
            queue.require(process.credentials, WRITE)
            # Those who came before have the first claim on room, unless this one has just been woken to look.
            if queue.has_room(len(message.text)):
                break
            if flags & IPC_NOWAIT:
                raise SyscallError(Errno.EAGAIN)
            event = Event()
            queue.senders[event] = None
            try:
                yield Wait((event,))
            finally:
                queue.senders.pop(event, None)
            if queue.removed:
                raise SyscallError(Errno.EIDRM)
        cost = len(message.text) + OVERHEAD_BYTES
        if self._kept + cost > TOTAL_BYTES:
            raise SyscallError(Errno.ENOMEM)
        queue.send_pid, queue.send_s = process.pid, self._now_s()
        if not self._hand_over(queue, message):
            queue.messages.append(message)
            queue.bytes += len(message.text)
            self._kept += cost
        return 0

    def _hand_over(self, queue: MessageQueue, message: Message) -> bool:
        """pipelined_send(): to the first receiver that takes it; those it is too long for are told so."""
        for receiver in tuple(queue.receivers):
            if not receiver.wants(message):
                continue
            del queue.receivers[receiver]
            if receiver.fits(message):
                receiver.message = message
                queue.receive_pid, queue.receive_s = receiver.pid, self._now_s()
                receiver.event.set()
                return True
            receiver.too_small = True
            receiver.event.set()
        return False

    # -- receiving -----------------------------------------------------------------------------------------------------------
    def receive(self, process: Process, identifier: int, size: int, wanted: int, flags: int) -> Generator[Wait, int | None, Message]:
        """msgrcv(2): the message, not shortened. Raises EINVAL, EACCES, E2BIG, ENOMSG, EIDRM."""
        queue = self.queues.find(identifier)
        queue.require(process.credentials, READ)
        receiver = Receiver(wanted, size, flags, process.pid)
        index = self._copied(queue, wanted) if flags & MSG_COPY else self._find(queue, receiver)
        if index is not None:
            message = queue.messages[index]
            if not receiver.fits(message):
                raise SyscallError(Errno.E2BIG)
            if not flags & MSG_COPY:
                self._take(queue, index, process.pid)
            return message
        if flags & IPC_NOWAIT:
            raise SyscallError(Errno.ENOMSG)
        queue.receivers[receiver] = None
        try:
            yield Wait((receiver.event,))
        finally:
            queue.receivers.pop(receiver, None)
        if receiver.message is not None:
            return receiver.message
        raise SyscallError(Errno.E2BIG if receiver.too_small else Errno.EIDRM)

    @staticmethod
    def _copied(queue: MessageQueue, number: int) -> int | None:
        return number if 0 <= number < len(queue.messages) else None

    @staticmethod
    def _find(queue: MessageQueue, receiver: Receiver) -> int | None:
        """Index of the message to take: the first that fits, or of a negative type the first of the lowest type."""
        fitting = [index for index, message in enumerate(queue.messages) if receiver.wants(message)]
        if not fitting:
            return None
        if receiver.type < 0:
            return min(fitting, key=lambda index: queue.messages[index].type)
        return fitting[0]

    def _take(self, queue: MessageQueue, index: int, pid: int) -> None:
        message = queue.messages.pop(index)
        queue.bytes -= len(message.text)
        self._kept -= len(message.text) + OVERHEAD_BYTES
        queue.receive_pid, queue.receive_s = pid, self._now_s()
        queue.wake_senders()
