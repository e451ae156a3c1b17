"""Parameter types of system call handlers: each knows how to decode one raw register.

Owns the decoders (raw unsigned 64-bit register, thread) -> value and the types handlers name in their signatures. table.py picks
the decoder once, at import; nothing here looks at signatures. Plain numbers are ``Annotated`` aliases: the body sees a real int
and no object is made per call. Must not know calls, files or policy. Source: the x86-64 calling convention of Linux (the kernel's
SYSCALL_DEFINE casts each register to the declared C type; the upper half of a register holding an int is ignored).
"""

# ruff: noqa: ARG001 - every decoder has the signature Decode, used or not

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import TYPE_CHECKING, Annotated, Any, Final, Generic, get_origin

from pylibos.abi.errno import Errno
from pylibos.emulation.errors import SyscallError

if TYPE_CHECKING:
    import enum

    from typing_extensions import TypeVar

    from pylibos.emulation.guest import GuestMemory
    from pylibos.emulation.process.thread import Thread

    T = TypeVar("T", default=bytes)
else:
    from typing import TypeVar

    T = TypeVar("T")

Decode = Callable[[int, "Thread"], Any]

AT_FDCWD: Final = -100
PATH_MAX: Final = 4096
"""Bytes of a path name including its NUL (include/uapi/linux/limits.h)."""
SIGNAL_MAX: Final = 64


class Decoder:
    """Metadata of an ``Annotated`` parameter type."""

    __slots__ = ("decode",)

    def __init__(self, decode: Decode) -> None:
        self.decode = decode


def _raw(raw: int, thread: Thread) -> int:
    return raw


def _signed64(raw: int, thread: Thread) -> int:
    return raw - 0x1_0000_0000_0000_0000 if raw > 0x7FFF_FFFF_FFFF_FFFF else raw


def _signed32(raw: int, thread: Thread) -> int:
    if raw <= 0x7FFF_FFFF:
        return raw
    raw &= 0xFFFF_FFFF
    return raw - 0x1_0000_0000 if raw > 0x7FFF_FFFF else raw


def _unsigned32(raw: int, thread: Thread) -> int:
    return raw & 0xFFFF_FFFF


def _mode(raw: int, thread: Thread) -> int:
    return raw & 0o7777


def _signal(raw: int, thread: Thread) -> int:
    raw &= 0xFFFF_FFFF
    if raw > SIGNAL_MAX:
        raise SyscallError(Errno.EINVAL)
    return raw


def _path(raw: int, thread: Thread) -> bytes:
    if raw == thread.prefetched_address:
        path = thread.prefetched_path
        if path is not None:
            thread.prefetched_path = None
            return path
    return thread.memory.read_string(raw, PATH_MAX)


def _optional_path(raw: int, thread: Thread) -> bytes | None:
    return _path(raw, thread) if raw else None


Int = Annotated[int, Decoder(_signed32)]
"""C int: the low 32 bits, sign-extended."""
UInt = Annotated[int, Decoder(_unsigned32)]
"""C unsigned int: the low 32 bits."""
Long = Annotated[int, Decoder(_signed64)]
"""C long: 64 bits, signed."""
ULong = Annotated[int, Decoder(_raw)]
"""C unsigned long: 64 bits."""
Size = Annotated[int, Decoder(_raw)]
"""size_t, in bytes."""
Offset = Annotated[int, Decoder(_signed64)]
"""loff_t, in bytes, signed."""
Address = Annotated[int, Decoder(_raw)]
"""A guest virtual address that the body does not read as a whole; 0 is NULL."""
Fd = Annotated[int, Decoder(_signed32)]
"""A descriptor number of the guest; negative ones are simply not open."""
DirFd = Annotated[int, Decoder(_signed32)]
"""A directory descriptor or AT_FDCWD (-100)."""
Pid = Annotated[int, Decoder(_signed32)]
"""pid_t: guest process or thread number, or one of the special values of the call (0, -1, -pgid)."""
Mode = Annotated[int, Decoder(_mode)]
"""Permission bits: the low 12 bits of a mode_t; file type bits are dropped as the kernel's S_IALLUGO does."""
Signal = Annotated[int, Decoder(_signal)]
"""A signal number 0..64; anything else is EINVAL."""
UserPath = Annotated[bytes, Decoder(_path)]
"""A path, copied once, without its NUL. EFAULT, or ENAMETOOLONG beyond 4095 bytes. May be empty."""
OptionalUserPath = Annotated[bytes | None, Decoder(_optional_path)]
"""Like UserPath; a NULL pointer is None."""


class OutPtr(Generic[T]):
    """A guest address that results are written to. The type argument only documents what is written."""

    __slots__ = ("address", "memory")

    def __init__(self, address: int, memory: GuestMemory) -> None:
        self.address = address
        self.memory = memory

    @property
    def is_null(self) -> bool:
        """Whether the guest passed NULL."""
        return self.address == 0

    def __bool__(self) -> bool:
        return self.address != 0

    def write(self, data: bytes) -> None:
        """All of data at the address. Raises SyscallError(EFAULT)."""
        self.memory.write(self.address, data)


class InPtr(Generic[T]):
    """A guest address that is read from; read once and use the copy. The type argument only documents what is there."""

    __slots__ = ("address", "memory")

    def __init__(self, address: int, memory: GuestMemory) -> None:
        self.address = address
        self.memory = memory

    @property
    def is_null(self) -> bool:
        """Whether the guest passed NULL."""
        return self.address == 0

    def __bool__(self) -> bool:
        return self.address != 0

    def read(self, size: int) -> bytes:
        """Exactly size bytes. Raises SyscallError(EFAULT)."""
        return self.memory.read(self.address, size)

    def read_string(self, limit: int) -> bytes:
        """A C string without its NUL. Raises EFAULT, or ENAMETOOLONG when no NUL is within limit bytes."""
        return self.memory.read_string(self.address, limit)

    def unpack(self, layout: Struct) -> tuple[Any, ...]:
        """One structure. Raises SyscallError(EFAULT)."""
        return layout.unpack(self.memory.read(self.address, layout.size))


class InOutPtr(InPtr[T]):
    """A guest address that is read and then written (a value-result argument such as an address length)."""

    __slots__ = ()

    def write(self, data: bytes) -> None:
        """All of data at the address. Raises SyscallError(EFAULT)."""
        self.memory.write(self.address, data)


if TYPE_CHECKING:

    class Flags(enum.IntFlag):
        """As below; to the type checker members are flags, so that two kinds of them do not mix."""

        @classmethod
        def known_bits(cls) -> int:
            """All bits some member names."""
            raise NotImplementedError

else:

    class Flags:
        """Base of strict 32-bit flag types: bits no member names are EINVAL before the handler runs.

        Members are the bits the handler implements (and those it knowingly ignores). At run time both they and what the handler gets are
        plain numbers: an operation with a member of an enum.IntFlag costs thirty times as much, and making such a class 0.15 ms.
        """

        @classmethod
        def known_bits(cls) -> int:
            """All bits some member names."""
            bits = 0
            for name, value in vars(cls).items():
                if not name.startswith("_"):
                    bits |= value
            return bits


def _flag_decoder(flags: type[Flags]) -> Decode:
    unknown = 0xFFFF_FFFF & ~flags.known_bits()

    def decode(raw: int, thread: Thread) -> int:
        raw &= 0xFFFF_FFFF
        if raw & unknown:
            raise SyscallError(Errno.EINVAL)
        return raw

    return decode


def _pointer_decoder(pointer: type[OutPtr[Any] | InPtr[Any]]) -> Decode:
    def decode(raw: int, thread: Thread) -> OutPtr[Any] | InPtr[Any]:
        return pointer(raw, thread.memory)

    return decode


_POINTERS: Final[dict[object, Decode]] = {pointer: _pointer_decoder(pointer) for pointer in (OutPtr, InPtr, InOutPtr)}
_FLAGS: Final[dict[object, Decode]] = {}


def decoder_of(annotation: object) -> Decode | None:
    """The decoder of a parameter type, or None when it has none. Types may bring their own ``from_raw(raw, thread)``."""
    metadata: tuple[object, ...] = getattr(annotation, "__metadata__", ())
    for item in metadata:
        if isinstance(item, Decoder):
            return item.decode
    kind = get_origin(annotation) or annotation
    if kind in _POINTERS:
        return _POINTERS[kind]
    if not isinstance(kind, type):
        return None
    if issubclass(kind, Flags):
        if kind not in _FLAGS:
            _FLAGS[kind] = _flag_decoder(kind)
        return _FLAGS[kind]
    own: Decode | None = getattr(kind, "from_raw", None)
    return own if callable(own) else None
