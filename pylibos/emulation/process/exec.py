"""execve up to the point of no return: from a path in the guest's view to an ExecPlan.

Owns the search for what to map: permission, ``#!`` rewriting, ELF and its interpreter. Everything that can fail with an error the old
program sees fails here; the engine then starts our loader with the plan. Streams it opens are owned by the plan; on failure they are
closed here. Must not know registers, the loader or descriptors' numbers in the guest.

Set-user-id bits and file capabilities are ignored: the whole view behaves as mounted nosuid.

Source: Linux 6.18 fs/exec.c (do_open_execat, bprm_execve, exec_binprm), fs/binfmt_script.c, fs/binfmt_elf.c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pylibos.abi.errno import Errno
from pylibos.abi.process import AT_FDCWD
from pylibos.emulation.errors import SyscallError
from pylibos.emulation.fs.permission import permitted
from pylibos.emulation.outcome import ExecPlan, ImagePlan
from pylibos.emulation.process.elf import HEADER_SIZE, ImageCache
from pylibos.emulation.process.shebang import REWRITES_MAX, parse_shebang
from pylibos.monitor.host_abi import Access, Create

if TYPE_CHECKING:
    from pylibos.emulation.fs.inode import Inode
    from pylibos.emulation.process.elf import ElfImage
    from pylibos.emulation.process.thread import Thread
    from pylibos.monitor.host_abi import HostStream

_images: Final = ImageCache()
"""Shared by all sandboxes of this process: a pure function of file contents."""

_EXECUTE: Final = 1


def plan_execution(thread: Thread, directory: int, path: bytes, *, follow: bool, empty_path: bool) -> ExecPlan:
    """Everything execveat(directory, path) decides. directory: AT_FDCWD or a descriptor.

    Raises SyscallError: ENOENT, EACCES, ENOEXEC, ELOOP, ELIBBAD, EBADF, ENOTDIR.
    """
    inode, name = _find(thread, directory, path, follow, empty_path)
    comm = b"" if path else inode.name
    prefix: list[bytes] | None = None
    script = name
    for _ in range(REWRITES_MAX + 1):
        stream = open_program(thread, inode)
        try:
            header = thread.executive.host.stream_read(stream, 0, HEADER_SIZE)
            if not header.startswith(b"#!"):
                return _elf_plan(thread, inode, stream, header, name, prefix, comm)
            interpreter, argument = parse_shebang(header)
        except BaseException:
            thread.executive.host.stream_close(stream)
            raise
        thread.executive.host.stream_close(stream)
        prefix = [interpreter] + ([] if argument is None else [argument]) + [script] + ([] if prefix is None else prefix[1:])
        script = interpreter
        # The kernel takes an empty name (a line of blanks) for the current directory, which is not a regular file.
        inode = thread.executive.files.find(thread, None, interpreter or b".")
    raise SyscallError(Errno.ELOOP)


def _find(thread: Thread, directory: int, path: bytes, follow: bool, empty_path: bool) -> tuple[Inode, bytes]:
    """(inode, the name the kernel would give the program: AT_EXECFN)."""
    executive = thread.executive
    base = None
    name = path
    if directory != AT_FDCWD and path[:1] != b"/":
        if not path and not empty_path:
            raise SyscallError(Errno.ENOENT)
        opened = executive.io.inode_of(thread, directory)
        if opened is None:
            raise SyscallError(Errno.EACCES if not path else Errno.ENOTDIR)
        if not path:
            return opened, b"/dev/fd/%d" % directory
        base = opened
        name = b"/dev/fd/%d/%s" % (directory, path)
    elif not path:
        if not empty_path:
            raise SyscallError(Errno.ENOENT)
        raise SyscallError(Errno.EACCES)  # the current directory: not a regular file
    inode = executive.files.find(thread, base, path, follow)
    if inode.is_symlink:
        raise SyscallError(Errno.ELOOP)
    return inode, name


def open_program(thread: Thread, inode: Inode) -> HostStream:
    """A stream of a regular file the caller may execute. Raises EACCES."""
    if not inode.is_regular or inode.volume.no_exec or not permitted(inode, thread.process.credentials, _EXECUTE):
        raise SyscallError(Errno.EACCES)
    return inode.open_stream(thread, Access.READ | Access.EXECUTE, Create.OPEN)


def _elf_plan(
    thread: Thread, inode: Inode, stream: HostStream, header: bytes, name: bytes, prefix: list[bytes] | None, comm: bytes
) -> ExecPlan:
    image = _image(thread, inode, stream, header)
    interpreter = None if image.interpreter is None else _interpreter(thread, image.interpreter)
    return ExecPlan(
        name,
        image.plan(stream),
        interpreter,
        prefix,
        image.executable_stack,
        comm,
        thread.executive.files.path_of(inode, thread.process.fs),
        thread.process.credentials.for_exec(),
    )


def _image(thread: Thread, inode: Inode, stream: HostStream, header: bytes) -> ElfImage:
    host = thread.executive.host
    inode.stat_record()  # brings size up to date where native writers may have changed it
    return _images.image(header, lambda offset, size: host.stream_read(stream, offset, size), inode.size)


def _interpreter(thread: Thread, path: bytes) -> ImagePlan:
    """The dynamic linker of an image. Raises ENOENT, EACCES; ELIBBAD when it is no ELF image itself."""
    inode = thread.executive.files.find(thread, None, path)
    stream = open_program(thread, inode)
    try:
        header = thread.executive.host.stream_read(stream, 0, HEADER_SIZE)
        try:
            image = _image(thread, inode, stream, header)
        except SyscallError as error:
            if error.errno == Errno.ENOEXEC:
                raise SyscallError(Errno.ELIBBAD) from None
            raise
    except BaseException:
        thread.executive.host.stream_close(stream)
        raise
    return image.plan(stream)
