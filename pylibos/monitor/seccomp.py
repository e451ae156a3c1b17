"""Compiles filter rules to the classic BPF program a picoprocess installs, and keeps the result between runs.

Owns the use of libseccomp and the filter cache. Knows rules only as data (abi/filter_rules.py); the emulation does not appear here.
Sources: seccomp(2), seccomp_rule_add(3), Linux kernel/seccomp.c, [the kernel's] Documentation/userspace-api/seccomp_filter.rst.

Invariants, checked by tests/unit/monitor/test_seccomp.py with an interpreter of its own over every number:

* a foreign architecture (int 0x80) and the x32 numbers get ENOSYS;
* NOTIFY engine: a number without a rule is notified, so the answer (ENOSYS) comes from the emulation and is audited there;
* PTRACE engine: every call of the native architecture stops, rules or not;
* an argument-checked rule allows only what its alternatives say.

What a hostile local user can try: plant a filter in the cache. Handled: the directory and the file must be ours and closed to
everybody else, are opened without following links, and the file must repeat the rules it was made from, byte for byte; anything
else is ignored and the filter compiled afresh. Importing libseccomp costs tens of milliseconds (it searches for the library with
ldconfig), which is why the cache exists.
"""

from __future__ import annotations

import enum
import os
import stat
import struct
import zlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from pylibos.abi.errno import Errno
from pylibos.abi.filter_rules import WORD_MASK, ArgumentCheck, FilterAction, FilterRule

if TYPE_CHECKING:
    import pyseccomp

INSTRUCTION_SIZE: Final = 8
"""sizeof(struct sock_filter): code u16, jt u8, jf u8, k u32."""
INSTRUCTION_LIMIT: Final = 4096
"""BPF_MAXINSNS: the kernel refuses longer programs."""
CACHE_MAGIC: Final = b"pylibos-filter-2\n"
"""Change the number whenever the same rules compile to something else."""
_HEADER: Final = struct.Struct("<II")
"""Length of the rules' text, length of the program (bytes)."""
_CACHE_LIMIT: Final = 1 << 20


class SeccompError(Exception):
    """The filter cannot be built: libseccomp is missing, too old, or the rules cannot be expressed."""


class Engine(enum.Enum):
    """What the program does with calls that are not allowed."""

    NOTIFY = "notify"
    PTRACE = "ptrace"


def filter_program(rules: Sequence[FilterRule], engine: Engine, cache_directory: str | os.PathLike[str] | None = None) -> bytes:
    """The program for ``rules`` as an array of struct sock_filter (8 bytes each), from the cache when a valid copy is there.

    Raises SeccompError. A cache that cannot be read or written is no error.
    """
    text = rules_text(rules, engine)
    if cache_directory is None:
        return compile_filter(rules, engine)
    name = f"{engine.value}-{zlib.crc32(text):08x}.bpf"
    cached = _read_cache(cache_directory, name, text)
    if cached is not None:
        return cached
    program = compile_filter(rules, engine)
    _write_cache(cache_directory, name, text, program)
    return program


def rules_text(rules: Iterable[FilterRule], engine: Engine) -> bytes:
    """A canonical text of everything the program depends on."""
    lines = [engine.value]
    for rule in rules:
        checks = ";".join(",".join(f"{c.argument}:{c.mask:x}:{c.value:x}" for c in checks) for checks in rule.alternatives)
        lines.append(f"{rule.number} {rule.action.value} {rule.errno} {rule.otherwise.value} {checks}")
    return "\n".join(lines).encode()


# -- compiling ------------------------------------------------------------------------------------------------------------


def _library() -> pyseccomp:  # a module as a value: imported only when there is something to compile
    try:
        import pyseccomp
    except (ImportError, RuntimeError) as error:
        raise SeccompError(f"libseccomp is needed to build the system call filter (Debian: libseccomp2): {error}") from error
    return pyseccomp


def compile_filter(rules: Sequence[FilterRule], engine: Engine) -> bytes:
    """Build the program with libseccomp. Raises SeccompError."""
    library = _library()
    default = library.NOTIFY if engine is Engine.NOTIFY else library.TRACE(1)
    try:
        program = library.SyscallFilter(default)
        program.set_attr(library.Attr.ACT_BADARCH, library.ERRNO(int(Errno.ENOSYS)))
        program.set_attr(library.Attr.CTL_OPTIMIZE, 2)  # a binary tree over the numbers instead of a list of 400
        if engine is Engine.NOTIFY:
            for rule in rules:
                _add_rule(library, program, rule)
        with open(os.memfd_create("pylibos-filter", os.MFD_CLOEXEC), "w+b") as file:
            program.export_bpf(file)
            file.seek(0)
            text = file.read()
    except OSError as error:
        raise SeccompError(f"libseccomp cannot build the filter: {error}") from error
    if not _plausible(text):
        raise SeccompError(f"the filter has an impossible size: {len(text)} bytes")
    return text


def _action(library: pyseccomp, rule: FilterRule, action: FilterAction) -> int | None:
    """libseccomp's value; None for what is the filter's default anyway."""
    if action is FilterAction.ALLOW:
        return int(library.ALLOW)
    if action is FilterAction.TRACE:
        return int(library.TRACE(rule.number & 0xFFFF or 1))
    if action is FilterAction.ERRNO:
        return int(library.ERRNO(rule.errno or int(Errno.ENOSYS)))
    return None


def _add_rule(library: pyseccomp, program: pyseccomp.SyscallFilter, rule: FilterRule) -> None:
    action = _action(library, rule, rule.action)
    if not rule.alternatives:
        if action is not None:
            program.add_rule_exactly(action, rule.number)
        return
    otherwise = _action(library, rule, rule.otherwise)
    if otherwise is not None:
        # libseccomp has no "else" per call: the complement is spelled out, which it can be for one alternative.
        if len(rule.alternatives) != 1:
            raise SeccompError(f"rule {rule.number}: several alternatives need NOTIFY otherwise")
        for check in rule.alternatives[0]:
            for argument in _complement(library, check):
                program.add_rule_exactly(otherwise, rule.number, argument)
    if action is not None:
        for checks in rule.alternatives:
            program.add_rule_exactly(action, rule.number, *(_argument(library, check) for check in checks))


def _argument(library: pyseccomp, check: ArgumentCheck) -> pyseccomp.Arg:
    if check.value & ~check.mask or not 0 <= check.mask <= WORD_MASK:
        raise SeccompError(f"check {check} can never hold")
    return library.Arg(check.argument, library.MASKED_EQ, check.mask, check.value)


def _complement(library: pyseccomp, check: ArgumentCheck) -> list[pyseccomp.Arg]:
    """Comparisons of which at least one holds exactly when ``check`` does not."""
    if check.mask == WORD_MASK:
        return [library.Arg(check.argument, library.NE, check.value)]
    bits = (1 << index for index in range(64) if check.mask >> index & 1)
    return [library.Arg(check.argument, library.MASKED_EQ, bit, ~check.value & bit) for bit in bits]


def _plausible(program: bytes) -> bool:
    count, rest = divmod(len(program), INSTRUCTION_SIZE)
    return rest == 0 and 0 < count <= INSTRUCTION_LIMIT


# -- the cache -----------------------------------------------------------------------------------------------------------


def _private(status: os.stat_result) -> bool:
    return status.st_uid == os.geteuid() and not status.st_mode & 0o077


def _open_directory(directory: str | os.PathLike[str]) -> int | None:
    """A descriptor of the cache directory when it is a real directory, ours and closed to everybody else."""
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    if _private(os.fstat(descriptor)):
        return descriptor
    os.close(descriptor)
    return None


def _read_cache(directory: str | os.PathLike[str], name: str, text: bytes) -> bytes | None:
    parent = _open_directory(directory)
    if parent is None:
        return None
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=parent)
    except OSError:
        return None
    finally:
        os.close(parent)
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or not _private(status) or status.st_size > _CACHE_LIMIT:
            return None
        content = file.read(_CACHE_LIMIT)
    start = len(CACHE_MAGIC) + _HEADER.size
    if len(content) < start or not content.startswith(CACHE_MAGIC):
        return None
    text_size, program_size = _HEADER.unpack_from(content, len(CACHE_MAGIC))
    if content[start : start + text_size] != text or text_size != len(text):
        return None
    program = content[start + text_size :]
    return program if len(program) == program_size and _plausible(program) else None


def _write_cache(directory: str | os.PathLike[str], name: str, text: bytes, program: bytes) -> None:
    """Store atomically; a failure only means compiling again next time."""
    try:
        os.makedirs(directory, mode=0o700, exist_ok=True)
    except OSError:
        return
    parent = _open_directory(directory)
    if parent is None:
        return
    temporary = f".{name}.{os.getpid()}"
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with open(os.open(temporary, flags, 0o600, dir_fd=parent), "wb") as file:
            file.write(CACHE_MAGIC + _HEADER.pack(len(text), len(program)) + text + program)
        os.rename(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
    except OSError:
        try:
            os.unlink(temporary, dir_fd=parent)
        except OSError:
            return
    finally:
        os.close(parent)
