"""POSIX message queues: named queues of prioritised messages, reached through descriptors.

Owns the queues of one sandbox, their names and messages. A queue's descriptor is a new open of one pipe per queue (as a FIFO's is, ADR 1):
the pipe's identity tells the queue, the open file's own flags tell O_NONBLOCK and the access mode, and its filling (empty, one byte, full)
is kept so that poll, select and epoll answer as for a queue. Whether a queue without a name is still open is asked of the guests'
descriptor tables. Must not know registers. Sources: Linux 6.18 ipc/mqueue.c; mq_overview(7).

Invariants: somebody waits to receive only from an empty queue, to send only to a full one; the pipe holds no byte, one, or all it can,
as the queue is empty, in between, or full.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

from pylibos.abi.errno import Errno
from pylibos.abi.files import O_ACCMODE, O_CREAT, O_EXCL, O_NONBLOCK, O_RDONLY, O_RDWR, O_WRONLY
from pylibos.abi.ipc import MQ_HARD_MESSAGES, MQ_HARD_SIZE, MQ_NAME_MAX, MQ_PRIO_MAX
from pylibos.emulation.errors import SyscallError
from pylibos.emulation.object_manager.dispatcher import Event
from pylibos.emulation.outcome import Install, Wait
from pylibos.emulation.security.capabilities import Capability
from pylibos.monitor.host_abi import Access, Create, HostError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from pylibos.abi.ipc import SignalEvent
    from pylibos.emulation.process.process import Process
    from pylibos.emulation.process.thread import Thread
    from pylibos.emulation.security.credentials import Credentials
    from pylibos.monitor.host_abi import HostABI

MESSAGES_DEFAULT: Final = 10
MESSAGES_MAX: Final = 10
SIZE_DEFAULT: Final = 8192
SIZE_MAX: Final = 8192
QUEUES_MAX: Final = 256
RLIMIT_MSGQUEUE: Final = 12
CHARGE_MAX: Final = 64 << 20
"""The same for all queues of a sandbox together, whatever its users' limits are: the messages are kept in our memory."""
_BLOCK: Final = bytes(65536)
"""What is written to a pipe until no more fits."""
_PER_MESSAGE: Final = 48
"""What Linux counts for a message, and for a priority, besides the text."""
_READ: Final = 4
_WRITE: Final = 2
_ACCESS: Final = {O_RDONLY: Access.READ, O_WRONLY: Access.WRITE, O_RDWR: Access.READ_WRITE, O_ACCMODE: Access.READ}
"""The last makes a queue on Linux, too, with a descriptor that neither sends nor receives; of an existing queue it is EINVAL."""
_WANTED: Final = {O_RDONLY: _READ, O_WRONLY: _WRITE, O_RDWR: _READ | _WRITE}

Key = tuple[int, int]


class Receiver:
    """A mq_timedreceive that found nothing."""

    __slots__ = ("event", "message")

    def __init__(self) -> None:
        self.event = Event()
        self.message: tuple[int, bytes] | None = None


class Sender:
    """A mq_timedsend that found no room."""

    __slots__ = ("event", "message", "queued")

    def __init__(self, message: tuple[int, bytes]) -> None:
        self.event = Event()
        self.message = message
        self.queued = False


class Registration(NamedTuple):
    """Who is to be told of the next message in an empty queue, and how."""

    process: Process
    event: SignalEvent


class Queue:
    """One queue."""

    __slots__ = (
        "_shown", "by_priority", "count", "gid", "host", "key", "messages_max", "mode", "name", "notify", "receivers", "senders",
        "size_max", "stream", "uid", "user",
    )  # fmt: skip

    def __init__(self, host: HostABI, name: bytes, mode: int, who: Credentials, messages_max: int, size_max: int) -> None:
        self.host = host
        self.name: bytes | None = name
        self.mode = mode
        self.uid, self.gid = who.fsuid, who.fsgid
        self.user = who.ruid
        """Whose RLIMIT_MSGQUEUE it counts for."""
        self.messages_max = messages_max
        self.size_max = size_max
        self.by_priority: dict[int, deque[bytes]] = {}
        self.count = 0
        self.receivers: dict[Receiver, None] = {}
        self.senders: dict[Sender, None] = {}
        self.notify: Registration | None = None
        self._shown = 0
        reader, writer = host.stream_open_pair(b"pipe:", Create.NONBLOCK)
        try:
            self.stream = host.stream_reopen(reader, Access.READ_WRITE, Create.NONBLOCK)
            attributes = host.stream_query_open(reader)
        finally:
            host.stream_close(reader)
            host.stream_close(writer)
        self.key: Key = (attributes.device, attributes.inode)

    @property
    def charged(self) -> int:
        """Bytes Linux counts for it towards RLIMIT_MSGQUEUE."""
        return charge(self.messages_max, self.size_max)

    def permitted(self, who: Credentials, wanted: int) -> bool:
        """Linux generic_permission() on the queue's inode; wanted: read 4, write 2."""
        if who.fsuid == self.uid:
            granted = self.mode >> 6
        elif who.in_group(self.gid):
            granted = self.mode >> 3
        else:
            granted = self.mode
        return not wanted & ~granted or who.has_capability(Capability.DAC_OVERRIDE)

    # -- messages ------------------------------------------------------------------------------------------------------
    def push(self, priority: int, text: bytes) -> None:
        """Queue a message behind those of its priority."""
        self.by_priority.setdefault(priority, deque()).append(text)
        self.count += 1
        self._show()

    def pop(self) -> tuple[int, bytes]:
        """The oldest message of the highest priority; a sender that waited puts its own in its place."""
        priority = max(self.by_priority)
        texts = self.by_priority[priority]
        text = texts.popleft()
        if not texts:
            del self.by_priority[priority]
        self.count -= 1
        for sender in self.senders:
            del self.senders[sender]
            sender.queued = True
            sender.event.set()
            self.by_priority.setdefault(sender.message[0], deque()).append(sender.message[1])
            self.count += 1
            break
        self._show()
        return priority, text

    def _show(self) -> None:
        """Make the pipe as full as the queue. It can only be as full, or as empty, as a guest that reads or writes it has made it."""
        level = 0 if not self.count else 2 if self.count >= self.messages_max else 1
        if level == self._shown:
            return
        if level == 2:
            while self._put(_BLOCK):
                pass
        elif self._shown == 0:
            self._put(b"\0")
        else:
            while self._take():
                pass
            if level:
                self._put(b"\0")
        self._shown = level

    def _put(self, data: bytes) -> bool:
        try:
            return self.host.stream_write(self.stream, -1, data) > 0
        except HostError:
            return False

    def _take(self) -> bool:
        try:
            return bool(self.host.stream_read(self.stream, -1, len(_BLOCK)))
        except HostError:
            return False


def charge(messages: int, size: int) -> int:
    """Bytes of RLIMIT_MSGQUEUE a queue of that shape takes."""
    return messages * (_PER_MESSAGE + size) + min(messages, MQ_PRIO_MAX) * _PER_MESSAGE


class PosixQueues:
    """All queues of a sandbox. ``open_keys``: identities of everything any guest has open now."""

    __slots__ = ("_by_key", "_by_name", "_host", "_open_keys")

    def __init__(self, host: HostABI, open_keys: Callable[[], set[Key]]) -> None:
        self._host = host
        self._open_keys = open_keys
        self._by_name: dict[bytes, Queue] = {}
        self._by_key: dict[Key, Queue] = {}

    # -- names -----------------------------------------------------------------------------------------------------------
    def open(self, thread: Thread, name: bytes, flags: int, mode: int, shape: tuple[int, int] | None) -> Install:
        """mq_open(2). mode: with the umask applied; shape: (messages, size) asked for.

        Raises: ENOENT, EACCES, ENAMETOOLONG, EEXIST, EINVAL, ENOSPC, EMFILE.
        """
        _check_name(name)
        self.collect()
        queue = self._by_name.get(name)
        if queue is None:
            if not flags & O_CREAT:
                raise SyscallError(Errno.ENOENT)
            queue = self._make(thread, name, mode, shape)
        elif flags & O_CREAT and flags & O_EXCL:
            raise SyscallError(Errno.EEXIST)
        elif flags & O_ACCMODE == O_ACCMODE:
            raise SyscallError(Errno.EINVAL)
        elif not queue.permitted(thread.credentials, _WANTED[flags & O_ACCMODE]):
            raise SyscallError(Errno.EACCES)
        create = Create.NONBLOCK if flags & O_NONBLOCK else Create.OPEN
        return Install(self._host.stream_reopen(queue.stream, _ACCESS[flags & O_ACCMODE], create), close_on_exec=True)

    def _make(self, thread: Thread, name: bytes, mode: int, shape: tuple[int, int] | None) -> Queue:
        who = thread.credentials
        privileged = who.has_capability(Capability.SYS_RESOURCE)
        if len(self._by_key) >= QUEUES_MAX and not privileged:
            raise SyscallError(Errno.ENOSPC)
        messages, size = (MESSAGES_DEFAULT, SIZE_DEFAULT) if shape is None else shape
        most, longest = (MQ_HARD_MESSAGES, MQ_HARD_SIZE) if privileged else (MESSAGES_MAX, SIZE_MAX)
        if not 0 < messages <= most or not 0 < size <= longest:
            raise SyscallError(Errno.EINVAL)
        taken = sum(queue.charged for queue in self._by_key.values() if queue.user == who.ruid)
        everybody = sum(queue.charged for queue in self._by_key.values())
        soft = self._host.process_limits(thread.process.host_pid, RLIMIT_MSGQUEUE, None)[0]
        more = charge(messages, size)
        if 0 <= soft < taken + more or everybody + more > CHARGE_MAX:
            raise SyscallError(Errno.EMFILE)
        queue = Queue(self._host, name, mode, who, messages, size)
        self._by_name[name] = queue
        self._by_key[queue.key] = queue
        return queue

    def unlink(self, thread: Thread, name: bytes) -> None:
        """mq_unlink(2). The directory is sticky: only the owner. Raises ENOENT, EACCES, ENAMETOOLONG, EPERM."""
        _check_name(name)
        queue = self._by_name.get(name)
        if queue is None:
            raise SyscallError(Errno.ENOENT)
        who = thread.credentials
        if who.fsuid != queue.uid and not who.has_capability(Capability.FOWNER):
            raise SyscallError(Errno.EPERM)
        del self._by_name[name]
        queue.name = None
        self.collect()

    def collect(self) -> None:
        """Let go of queues without a name that nobody has open."""
        nameless = [queue for queue in self._by_key.values() if queue.name is None]
        if not nameless:
            return
        held = self._open_keys()
        for queue in nameless:
            if queue.key not in held:
                del self._by_key[queue.key]
                self._host.stream_close(queue.stream)

    def process_exited(self, process: Process) -> None:
        """Its registrations for notification end with it."""
        for queue in self._by_key.values():
            if queue.notify is not None and queue.notify.process is process:
                queue.notify = None

    # -- descriptors -------------------------------------------------------------------------------------------------------
    def of_descriptor(self, thread: Thread, descriptor: int, wanted: int = 0) -> tuple[Queue, int]:
        """(queue, open flags) of a guest descriptor. wanted: O_RDONLY+1 or O_WRONLY+1 bits. Raises EBADF (also for any other file)."""
        identity = self._host.descriptor_identity(thread.host_tid, descriptor)
        queue = self._by_key.get((identity.device, identity.inode))
        if queue is None:
            raise SyscallError(Errno.EBADF)
        flags = self._host.descriptor_state(thread.host_tid, descriptor)[0]
        if wanted & ~((flags & O_ACCMODE) + 1):
            raise SyscallError(Errno.EBADF)
        return queue, flags

    def is_open_in(self, queue: Queue, process: Process) -> bool:
        """Whether a process still has a descriptor of a queue: closing its last one ends its registration."""
        host = self._host
        try:
            numbers = host.descriptor_list(process.host_pid)
        except HostError:
            return False
        for number in numbers:
            try:
                identity = host.descriptor_identity(process.host_pid, number)
            except HostError:
                continue
            if (identity.device, identity.inode) == queue.key:
                return True
        return False

    def send(
        self, queue: Queue, flags: int, message: tuple[int, bytes], timeout: Callable[[], int | None]
    ) -> Generator[Wait, int | None, Registration | None]:
        """mq_timedsend(2): the registration this message serves. timeout: nanoseconds left, None for ever. Raises EAGAIN, ETIMEDOUT."""
        if queue.count >= queue.messages_max:
            if flags & O_NONBLOCK:
                raise SyscallError(Errno.EAGAIN)
            yield from self._wait_for_room(queue, message, timeout())
            return None
        for receiver in queue.receivers:
            del queue.receivers[receiver]
            receiver.message = message
            receiver.event.set()
            return None
        queue.push(*message)
        if queue.count > 1:
            return None
        served, queue.notify = queue.notify, None
        return served

    @staticmethod
    def _wait_for_room(queue: Queue, message: tuple[int, bytes], timeout_ns: int | None) -> Generator[Wait, int | None, None]:
        sender = Sender(message)
        queue.senders[sender] = None
        try:
            woken = yield Wait((sender.event,), timeout_ns=timeout_ns)
        finally:
            queue.senders.pop(sender, None)
        if woken is None:
            raise SyscallError(Errno.ETIMEDOUT)

    @staticmethod
    def receive(queue: Queue, flags: int, timeout: Callable[[], int | None]) -> Generator[Wait, int | None, tuple[int, bytes]]:
        """mq_timedreceive(2): (priority, text). Raises EAGAIN, ETIMEDOUT."""
        if queue.count:
            return queue.pop()
        if flags & O_NONBLOCK:
            raise SyscallError(Errno.EAGAIN)
        receiver = Receiver()
        queue.receivers[receiver] = None
        try:
            woken = yield Wait((receiver.event,), timeout_ns=timeout())
        finally:
            queue.receivers.pop(receiver, None)
        if woken is None or receiver.message is None:
            raise SyscallError(Errno.ETIMEDOUT)
        return receiver.message


def _check_name(name: bytes) -> None:
    """Raises ENOENT empty, EACCES with a slash or a directory's, ENAMETOOLONG."""
    if not name:
        raise SyscallError(Errno.ENOENT)
    if name in (b".", b"..") or b"/" in name:
        raise SyscallError(Errno.EACCES)
    if len(name) > MQ_NAME_MAX:
        raise SyscallError(Errno.ENAMETOOLONG)
