"""Parameter types of system call handlers: each knows how to decode one raw register.

A type is ``Annotated[python type, Decoder]``, so the body of a handler sees a plain int or bytes and nothing is built per call
that is not needed. Decoders are chosen once, when the decorator reads the annotations. Unknown flag bits are EINVAL before the
body runs. Copying happens here, once: the body works on the copy.
"""

from __future__ import annotations

import enum
import typing
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

from pylibos.abi.errno import Errno
from pylibos.emulation.errors import SyscallError

if TYPE_CHECKING:
    from pylibos.emulation.process.thread import Thread

Decode = Callable[[int, "Thread"], Any]
PATH_MAX = 4096
"""Bytes of a path with its NUL (include/uapi/linux/limits.h)."""


class Decoder:
    """Marks an Annotated parameter type. ``decode`` None: the raw register is the value."""

    __slots__ = ("decode",)

    def __init__(self, decode: Decode | None) -> None:
        self.decode = decode


def decode_int(raw: int, _thread: Thread) -> int:
    """C int: low 32 bits, signed."""
    return ((raw & 0xFFFFFFFF) ^ 0x80000000) - 0x80000000


def decode_uint(raw: int, _thread: Thread) -> int:
    """C unsigned int: low 32 bits."""
    return raw & 0xFFFFFFFF


def decode_long(raw: int, _thread: Thread) -> int:
    """C long: 64 bits, signed."""
    return (raw ^ 0x8000000000000000) - 0x8000000000000000


def decode_path(raw: int, thread: Thread) -> bytes:
    """A path name: the copy the receive loop fetched with the call, or a copy made now. EFAULT, ENAMETOOLONG."""
    prefetched = thread.prefetched_path
    if prefetched is not None and thread.prefetched_address == raw:
        return prefetched
    return thread.memory.read_string(raw, PATH_MAX)


def decode_optional_path(raw: int, thread: Thread) -> bytes | None:
    """A path name, or None for a null pointer."""
    return decode_path(raw, thread) if raw else None


def decode_mode(raw: int, _thread: Thread) -> int:
    """umode_t: low 16 bits."""
    return raw & 0xFFFF


def decode_signal(raw: int, _thread: Thread) -> int:
    """A signal number 0..64, else EINVAL."""
    number = decode_int(raw, _thread)
    if not 0 <= number <= 64:
        raise SyscallError(Errno.EINVAL)
    return number


Int = Annotated[int, Decoder(decode_int)]
UInt = Annotated[int, Decoder(decode_uint)]
Long = Annotated[int, Decoder(decode_long)]
ULong = Annotated[int, Decoder(None)]
Size = Annotated[int, Decoder(None)]
Offset = Annotated[int, Decoder(decode_long)]
Address = Annotated[int, Decoder(None)]
Fd = Annotated[int, Decoder(decode_int)]
DirFd = Annotated[int, Decoder(decode_int)]
Pid = Annotated[int, Decoder(decode_int)]
Uid = Annotated[int, Decoder(decode_uint)]
Mode = Annotated[int, Decoder(decode_mode)]
Signal = Annotated[int, Decoder(decode_signal)]
UserPath = Annotated[bytes, Decoder(decode_path)]
OptionalUserPath = Annotated[bytes | None, Decoder(decode_optional_path)]


def bits(mask: int) -> Decoder:
    """A 32-bit flag word as a plain int: bits outside mask are EINVAL. Use as ``Annotated[int, bits(0x3)]``."""

    def decode(raw: int, _thread: Thread) -> int:
        value = raw & 0xFFFFFFFF
        if value & ~mask:
            raise SyscallError(Errno.EINVAL)
        return value

    return Decoder(decode)


class Flags(enum.IntFlag):
    """Base of strict flag types: 32 bits, unknown ones are EINVAL. Values are cached, so decoding builds nothing."""


def _flags_decoder(kind: type[Flags]) -> Decode:
    mask = 0
    for member in kind:
        mask |= member.value
    cache: dict[int, Flags] = {}

    def decode(raw: int, _thread: Thread) -> Flags:
        value = raw & 0xFFFFFFFF
        found = cache.get(value)
        if found is None:
            if value & ~mask:
                raise SyscallError(Errno.EINVAL)
            found = kind(value)
            if len(cache) < 1024:
                cache[value] = found
        return found

    return decode


class InPtr:
    """A pointer the guest gives data through. Reads copy; never read the same argument twice."""

    __slots__ = ("address", "thread")

    def __init__(self, address: int, thread: Thread) -> None:
        self.address = address
        self.thread = thread

    @property
    def is_null(self) -> bool:
        """A null pointer."""
        return self.address == 0

    def read(self, size: int) -> bytes:
        """Exactly size bytes, or EFAULT."""
        return self.thread.memory.read(self.address, size)


class OutPtr:
    """A pointer the guest wants data at."""

    __slots__ = ("address", "thread")

    def __init__(self, address: int, thread: Thread) -> None:
        self.address = address
        self.thread = thread

    @property
    def is_null(self) -> bool:
        """A null pointer."""
        return self.address == 0

    def write(self, data: bytes) -> None:
        """All of data, or EFAULT."""
        self.thread.memory.write(self.address, data)

    def read(self, size: int) -> bytes:
        """Exactly size bytes, or EFAULT (value-result arguments)."""
        return self.thread.memory.read(self.address, size)


def decoder_for(annotation: object) -> Decode | None:
    """The decoder of a parameter type; None when the raw register is the value. TypeError when it has none."""
    if typing.get_origin(annotation) is Annotated:
        for extra in typing.get_args(annotation)[1:]:
            if isinstance(extra, Decoder):
                return extra.decode
    if isinstance(annotation, type):
        if issubclass(annotation, Flags):
            return _flags_decoder(annotation)
        if annotation in (InPtr, OutPtr):
            return annotation
    raise TypeError(f"no decoder for parameter type {annotation!r}")
