"""All modules a run needs, in one file: instead of two hundred look-ups, opens and reads, one read.

Owns the file ``modules-VERSION`` beside the compiled shim (-X pylibos_build). It begins with the size of its first part (8 bytes) and that
part, marshalled: this module's own code, with which scripts/pylibos can start, and where each module came from. The second part is the code
of each, read when it is imported; the file stays open, so that a new one does not disturb a run. A module is taken from it when its source
file has the time and size it had then, which is what Python itself asks of a .pyc; else Python finds it the usual way, and the file is made
again at the end of the run. So the file is never wrong, only late. In our own modules ``typing`` reads ``pylibos.light_typing``.

The file is code: scripts/pylibos takes it only when it belongs to root or the user and nobody else may write it, and it lies in a
directory to which the same applies as to the sources. Written whole and renamed; a failure only means that the next run starts as slowly
as this one. Must not import more than it needs: it is the first thing that runs. Source: importlib (bootstrap), PEP 451.
"""

from __future__ import annotations

import marshal
import sys
from _frozen_importlib import ModuleSpec
from _frozen_importlib_external import ExtensionFileLoader, SourceFileLoader
from posix import pread, stat
from time import time_ns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType, ModuleType
    from typing import Any

PLAIN, PACKAGE, EXTENSION = 0, 1, 2
SELF = "pylibos.bundle"
GENERATED = "pylibos.abi.generated"
STAND_IN = "pylibos.light_typing"

index: dict[str, tuple[int, str, int, int, int, int]] = {}
"""Module -> kind, file, its mtime in ns, its size, where its code begins and ends in the second part."""
opened: list[int] = []
"""The bundle's descriptor and where its second part begins."""
generated: dict[str, CodeType] = {}
stale: list[str] = []
"""Modules whose sources have changed."""
notes: dict[str, Any] = {}
"""What follows from our sources alone and was worked out by an earlier run: marshal's types only."""
unwritten: list[str] = []
"""Names of notes that are new in this run."""
began_ns = time_ns() - 10_000_000
"""When this process began, less the grain of file times."""
checked: list[bool] = []
"""One item: whether all of our sources are as they were, once somebody has asked."""


def _is_current(file: str, modified: int, size: int) -> bool:
    """Whether a source is still there with this time and size."""
    try:
        status = stat(file)
    except OSError:
        return False
    return status.st_mtime_ns == modified and status.st_size == size


class Loader:
    """A module from the bundle (importlib.abc.Loader; the class itself is the object)."""

    @staticmethod
    def create_module(_spec: Any) -> None:
        """The usual kind of module."""

    @staticmethod
    def exec_module(module: ModuleType) -> None:
        """Run its code."""
        name = module.__name__
        exec(marshal.loads(_stored(name)), module.__dict__)  # noqa: S102, S302 - our own code, see the top
        if name == GENERATED:
            module.known.update(generated)


class Finder:
    """What comes first in sys.meta_path."""

    @staticmethod
    def find_spec(name: str, _path: object = None, _target: object = None) -> Any:
        """The module's spec, or None for what is not here or has changed."""
        entry = index.get(name)
        if entry is None:
            return None
        kind, file, modified, size, _, _ = entry
        if not _is_current(file, modified, size):
            stale.append(name)
            return None
        loader: Any = ExtensionFileLoader(name, file) if kind == EXTENSION else Loader
        spec = ModuleSpec(name, loader, origin=file, is_package=kind == PACKAGE)
        spec.has_location = True
        if kind == PACKAGE:
            spec.submodule_search_locations = [file.rpartition("/")[0]]
        return spec


def _stored(name: str) -> bytes:
    """A module's marshalled code."""
    _, _, _, _, start, end = index[name]
    return pread(opened[0], end - start, opened[1] + start)


def install(
    content: tuple[dict[str, tuple[int, str, int, int, int, int]], dict[str, CodeType], dict[str, Any]], descriptor: int, second: int
) -> None:
    """Import from this bundle from now on, unless it was written by another version of this file."""
    _, file, modified, size, _, _ = content[0][SELF]
    globals()["__file__"] = file
    if not _is_current(file, modified, size):
        del sys.modules[SELF]  # whoever imports it gets the new one
        return
    index.update(content[0])
    opened[:] = [descriptor, second]
    generated.update(content[1])
    notes.update(content[2])
    sys.meta_path.insert(0, Finder)


def forget() -> None:
    """Import nothing more from the bundle: for a child that is about to close descriptors, whose numbers are then anybody's."""
    index.clear()
    opened.clear()


def note(name: str) -> Any:
    """What remember() was told, if none of our own sources has changed since; else None."""
    if not checked:
        checked.append(bool(index) and not stale and not _changed())
        if not checked[0]:
            notes.clear()
    return notes.get(name)


def remember(name: str, value: Any) -> None:
    """Keep something for later runs. It must follow from our sources and from nothing else."""
    notes[name] = value
    unwritten.append(name)


def _changed() -> bool:
    for name, (_, file, modified, size, _, _) in index.items():
        if name.startswith("pylibos.") and not _is_current(file, modified, size):
            stale.append(name)
            return True
    return False


def file_name(directory: str) -> str:
    """Where the bundle of this interpreter lies."""
    return f"{directory}/modules-{sys.hexversion:x}"


# -- writing: at the end of a run, when time does not matter ----------------------------------------------------------------
def keep() -> None:
    """Write the file when there is none, or what it holds is out of date, and there is a place for it. Only for scripts/pylibos."""
    directory = sys._xoptions.get("pylibos_build")
    if (index and not stale and not unwritten) or not isinstance(directory, str):
        return
    if not sys.flags.no_site:
        return  # not a run of the starter's: a test's process has imported much that no run needs
    import os

    if stale and checked and checked[0]:  # found out after somebody had been told that nothing had changed
        notes.clear()
    temporary = f"{file_name(directory)}.{os.getpid()}"
    try:
        content = _collect()
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644), "wb") as file:
            file.write(content)
        os.rename(temporary, file_name(directory))
    except (OSError, ImportError, ValueError):
        try:
            os.unlink(temporary)
        except OSError:
            return


def _collect() -> bytes:
    """The file's content: what is loaded now, and what was there before. Raises ValueError when a source changes meanwhile."""
    modules: dict[str, tuple[int, str, int, int, int, int]] = {}
    codes: list[bytes] = []
    at = 0
    for name in sorted({*sys.modules, *index, SELF, GENERATED, STAND_IN}):
        found = _one(name)
        if found is not None:
            kind, file, modified, size, code = found
            modules[name] = (kind, file, modified, size, at, at + len(code))
            codes.append(code)
            at += len(code)
    made = sys.modules[GENERATED].known if GENERATED in sys.modules else {}
    boot = _code(SourceFileLoader(SELF, str(__file__)), SELF)
    first = marshal.dumps((boot, (modules, made, notes)))
    return len(first).to_bytes(8, "little") + first + b"".join(codes)


def _one(name: str) -> tuple[int, str, int, int, bytes] | None:
    """Kind, file, its time and size, and marshalled code of a module; None for what is built in, or not from a file."""
    import importlib.util

    if name == SELF:
        return _with_status(PLAIN, str(__file__), SourceFileLoader(SELF, str(__file__)), SELF)
    module = sys.modules.get(name)
    try:
        spec = getattr(module, "__spec__", None) if module is not None else importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None  # it has been there once, and is no more
    if spec is None or spec.name != name or not spec.has_location or spec.origin is None:
        return None
    file: str = spec.origin
    if spec.loader is Loader:
        kind, _, modified, size, _, _ = index[name]
        return None if name in stale else (kind, file, modified, size, _stored(name))
    if isinstance(spec.loader, ExtensionFileLoader):
        return _with_status(EXTENSION, file, None, name)
    if not isinstance(spec.loader, SourceFileLoader):
        return None
    kind = PLAIN if spec.submodule_search_locations is None else PACKAGE
    return _with_status(kind, file, spec.loader, name)


def _with_status(kind: int, file: str, loader: Any, name: str) -> tuple[int, str, int, int, bytes]:
    status = stat(file)
    if status.st_mtime_ns > began_ns:
        raise ValueError("a source that is younger than this process: what is loaded may be older")
    return kind, file, status.st_mtime_ns, status.st_size, b"" if loader is None else marshal.dumps(_code(loader, name))


def _code(loader: Any, name: str) -> CodeType:
    """A module's code. Ours imports the stand-in where the source says typing; not the stand-in itself, which wants the real one."""
    code: CodeType = loader.get_code(name)
    if name.startswith("pylibos.") and name != STAND_IN and "typing" in code.co_names:
        code = code.replace(co_names=tuple(STAND_IN if text == "typing" else text for text in code.co_names))
    return code
