"""System V semaphore sets: values, operations that happen all or none, waiters in order of arrival, undo at the end of a process.

Owns the sets of one sandbox and what each process is to undo. A waiter holds its operations and an event; whoever changes a value tries
the queue again, so that an operation is carried out by the waker, as in Linux, and the woken call only reports it. Must not know guests'
memory or registers. Sources: Linux 6.18 ipc/sem.c; semop(2), semctl(2).

Invariants: 0 <= value <= SEMVMX; a queued waiter cannot proceed; an adjustment is within SEMAEM; a set that was removed has no waiters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from pylibos.abi.errno import Errno
from pylibos.abi.ipc import IPC_NOWAIT, SEM_UNDO, SEMAEM, SEMID_TAIL, SEMMNI, SEMMSL, SEMVMX
from pylibos.emulation.errors import SyscallError
from pylibos.emulation.ipc.objects import READ, WRITE, IpcObject, IpcTable
from pylibos.emulation.object_manager.dispatcher import Event
from pylibos.emulation.outcome import Wait

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pylibos.emulation.outcome import Blocking
    from pylibos.emulation.process.process import Process
    from pylibos.emulation.security.credentials import Credentials

SEMMNS: Final = 1_024_000
"""Semaphores in the sandbox: Linux allows a thousand times more, and would take its memory for them."""


UNDO_ENTRIES: Final = 1 << 18
"""Adjustments kept for all processes together: each costs us some hundred bytes."""


class Operation(NamedTuple):
    """One struct sembuf."""

    number: int
    change: int
    flags: int


class Waiter:
    """A semop that cannot proceed yet."""

    __slots__ = ("alters", "blocked_by", "error", "event", "operations", "process")

    def __init__(self, operations: Sequence[Operation], process: Process, blocked_by: Operation) -> None:
        self.operations = operations
        self.process = process
        self.alters = any(operation.change for operation in operations)
        self.blocked_by = blocked_by
        """The operation at which it stopped: what GETNCNT and GETZCNT count."""
        self.event = Event()
        self.error: Errno | None = None


class SemaphoreSet(IpcObject):
    """One set."""

    __slots__ = ("change_s", "operation_s", "pids", "removed", "values", "waiters")

    def __init__(self, key: int, flags: int, who: Credentials, pid: int, count: int, now_s: int) -> None:
        super().__init__(key, flags, who, pid)
        self.values = [0] * count
        self.pids = [0] * count
        self.waiters: dict[Waiter, None] = {}
        self.removed = False
        self.operation_s = 0
        self.change_s = now_s

    def waiting(self, number: int, *, zero: bool) -> int:
        """How many wait for the value to become 0, or to grow."""
        return sum(1 for waiter in self.waiters if waiter.blocked_by.number == number and (waiter.blocked_by.change == 0) == zero)

    def status(self) -> bytes:
        """struct semid64_ds."""
        return self.perm() + SEMID_TAIL.pack(self.operation_s, 0, self.change_s, 0, len(self.values), 0, 0)

    def line(self) -> bytes:
        """Its line of /proc/sysvipc/sem."""
        head = b"%10d %10d  %4o %10d " % (self.key, self.identifier, self.mode, len(self.values))
        owners = b"%5d %5d %5d %5d " % (self.uid, self.gid, self.cuid, self.cgid)
        return head + owners + b"%10d %10d\n" % (self.operation_s, self.change_s)


Undo = dict[tuple[SemaphoreSet, int], int]
"""(set, number) -> what is added when the process ends."""


class Semaphores:
    """All sets of a sandbox."""

    __slots__ = ("_count", "_now_s", "_undo", "_undo_entries", "sets")

    def __init__(self, now_s: Callable[[], int], sets: IpcTable[SemaphoreSet]) -> None:
        self.sets = sets
        self._undo_entries = 0
        self._undo: dict[Process, Undo] = {}
        self._now_s = now_s
        self._count = 0

    @property
    def total(self) -> int:
        """Semaphores in all sets."""
        return self._count

    def get(self, process: Process, key: int, count: int, flags: int) -> int:
        """semget(2). Raises EINVAL, ENOENT, EEXIST, EACCES, ENOSPC."""
        if not 0 <= count <= SEMMSL:
            raise SyscallError(Errno.EINVAL)

        def check(found: SemaphoreSet) -> None:
            if count > len(found.values):
                raise SyscallError(Errno.EINVAL)

        def make() -> SemaphoreSet:
            if count == 0:
                raise SyscallError(Errno.EINVAL)
            if self._count + count > SEMMNS:
                raise SyscallError(Errno.ENOSPC)
            self._count += count
            return SemaphoreSet(key, flags, process.credentials, process.pid, count, self._now_s())

        return self.sets.get(key, flags, process.credentials, check, make, SEMMNI)

    def remove(self, gone: SemaphoreSet) -> None:
        """IPC_RMID: who waits gets EIDRM, nobody has anything to undo."""
        self.sets.remove(gone)
        self._count -= len(gone.values)
        gone.removed = True
        for undo in self._undo.values():
            for key in [key for key in undo if key[0] is gone]:
                del undo[key]
                self._undo_entries -= 1
        for waiter in gone.waiters:
            waiter.error = Errno.EIDRM
            waiter.event.set()
        gone.waiters.clear()

    # -- semctl ----------------------------------------------------------------------------------------------------------
    def set_values(self, target: SemaphoreSet, first: int, values: Sequence[int], pid: int) -> None:
        """SETVAL and SETALL: what was to be undone on them is forgotten. Raises ERANGE."""
        if any(not 0 <= value <= SEMVMX for value in values):
            raise SyscallError(Errno.ERANGE)
        for undo in self._undo.values():
            for number in range(first, first + len(values)):
                if undo.pop((target, number), None) is not None:
                    self._undo_entries -= 1
        target.values[first : first + len(values)] = values
        target.pids[first : first + len(values)] = [pid] * len(values)
        target.change_s = self._now_s()
        self._wake(target)

    # -- semop -------------------------------------------------------------------------------------------------------------
    def operate(self, process: Process, identifier: int, operations: Sequence[Operation], timeout_ns: int | None) -> Blocking | None:
        """semtimedop(2): None when it is done, a generator when it has to wait.

        Raises: EINVAL no such set; EFBIG no such semaphore; EACCES; ERANGE; EAGAIN it would wait and IPC_NOWAIT is set.
        """
        target = self.sets.find(identifier)
        if max(operation.number for operation in operations) >= len(target.values):
            raise SyscallError(Errno.EFBIG)
        alters = any(operation.change for operation in operations)
        target.require(process.credentials, WRITE if alters else READ)
        blocked_by = self._attempt(target, operations, process)
        if blocked_by is None:
            if alters:
                self._wake(target)
            target.operation_s = self._now_s()
            return None
        if blocked_by.flags & IPC_NOWAIT or timeout_ns == 0:
            raise SyscallError(Errno.EAGAIN)
        waiter = Waiter(operations, process, blocked_by)
        target.waiters[waiter] = None
        return self._wait(target, waiter, timeout_ns)

    @staticmethod
    def _wait(target: SemaphoreSet, waiter: Waiter, timeout_ns: int | None) -> Blocking:
        try:
            woken = yield Wait((waiter.event,), timeout_ns=timeout_ns)
        finally:
            target.waiters.pop(waiter, None)
        if woken is None:
            raise SyscallError(Errno.EAGAIN)
        if waiter.error is not None:
            raise SyscallError(waiter.error)
        return 0

    def _attempt(self, target: SemaphoreSet, operations: Sequence[Operation], process: Process) -> Operation | None:
        """Carry out all operations or none; the one that has to wait. Raises ERANGE, ENOMEM."""
        undo = self._undo.get(process)
        values = dict.fromkeys((operation.number for operation in operations), 0)
        for number in values:
            values[number] = target.values[number]
        adjustments: dict[int, int] = {}
        for operation in operations:
            number, change = operation.number, operation.change
            if change == 0:
                if values[number]:
                    return operation
                continue
            result = values[number] + change
            if result < 0:
                return operation
            if result > SEMVMX:
                raise SyscallError(Errno.ERANGE)
            if operation.flags & SEM_UNDO:
                before = adjustments.get(number)
                if before is None:
                    before = undo.get((target, number), 0) if undo else 0
                if not -SEMAEM - 1 <= before - change <= SEMAEM:
                    raise SyscallError(Errno.ERANGE)
                adjustments[number] = before - change
            values[number] = result
        if adjustments:
            self._adjust(target, process, adjustments)
        for number, value in values.items():
            target.values[number] = value
            target.pids[number] = process.pid
        return None

    def _adjust(self, target: SemaphoreSet, process: Process, adjustments: dict[int, int]) -> None:
        """Note what the process is to undo. Raises ENOMEM."""
        undo = self._undo.setdefault(process, {})
        new = {(target, number): adjustment for number, adjustment in adjustments.items()}
        more = sum(key not in undo for key in new)
        if self._undo_entries + more > UNDO_ENTRIES:
            raise SyscallError(Errno.ENOMEM)
        self._undo_entries += more
        undo.update(new)

    def _wake(self, target: SemaphoreSet) -> None:
        """Values have changed: let proceed who can, those that wait for zero first, until nobody can."""
        again = bool(target.waiters)
        while again:
            again = False
            for waiter in sorted(target.waiters, key=lambda waiter: waiter.alters):
                try:
                    blocked_by = self._attempt(target, waiter.operations, waiter.process)
                except SyscallError as error:
                    waiter.error = error.errno
                    blocked_by = None
                if blocked_by is not None:
                    waiter.blocked_by = blocked_by
                    if not blocked_by.flags & IPC_NOWAIT:
                        continue
                    waiter.error = Errno.EAGAIN
                del target.waiters[waiter]
                target.operation_s = self._now_s()
                waiter.event.set()
                if waiter.alters and waiter.error is None:
                    again = True
                    break

    # -- the end of a process ------------------------------------------------------------------------------------------------
    def process_exited(self, process: Process) -> None:
        """exit_sem(): give back what the process had taken with SEM_UNDO."""
        undo = self._undo.pop(process, {})
        self._undo_entries -= len(undo)
        changed: dict[SemaphoreSet, None] = {}
        for (target, number), adjustment in undo.items():
            if adjustment:
                target.values[number] = min(max(target.values[number] + adjustment, 0), SEMVMX)
                target.pids[number] = process.pid
                changed[target] = None
        for target in changed:
            self._wake(target)
