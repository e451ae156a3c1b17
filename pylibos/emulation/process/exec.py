"""execve up to the point of no return: from a path in the guest's view to an ExecPlan.

Owns the search for what to map: permission, ``#!`` rewriting, ELF and its interpreter. Everything that can fail with an error the old
program sees fails here; the engine then starts our loader with the plan. Streams it opens are owned by the plan; on failure they are
closed here. Must not know registers, the loader or descriptors' numbers in the guest.

Set-user-id and set-group-id bits give the new program other ids inside, where its volume is not mounted nosuid (of the program that runs
in the end: for a script its interpreter). They never mean anything on the host. File capabilities are ignored.

Source: Linux 6.18 fs/exec.c (do_open_execat, bprm_execve, exec_binprm), fs/binfmt_script.c, fs/binfmt_elf.c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pylibos.abi.errno import Errno
from pylibos.abi.files import S_ISGID, S_ISUID
from pylibos.abi.process import AT_FDCWD
from pylibos.emulation.errors import SyscallError
from pylibos.emulation.fs.permission import permitted
from pylibos.emulation.outcome import ExecPlan, ImagePlan
from pylibos.emulation.process.elf import HEADER_SIZE, ImageCache
from pylibos.emulation.process.shebang import REWRITES_MAX, parse_shebang
from pylibos.emulation.security.capabilities import Capability
from pylibos.monitor.host_abi import Access, Create

if TYPE_CHECKING:
    from pylibos.emulation.fs.inode import Inode
    from pylibos.emulation.process.elf import ElfImage
    from pylibos.emulation.process.thread import Thread
    from pylibos.monitor.host_abi import HostStream

_images: Final = ImageCache()
"""Shared by all sandboxes of this process: a pure function of file contents."""

_EXECUTE: Final = 1
_O_CLOEXEC: Final = 0o2000000
_S_IFMT: Final = 0o170000
_S_IFREG: Final = 0o100000


class Program:
    """A file to be executed, opened: its stream, its name for /proc/PID/exe, its size in bytes, its inode if it is of the view."""

    __slots__ = ("inode", "path", "size", "stream")

    def __init__(self, stream: HostStream, path: bytes, size: int, inode: Inode | None = None) -> None:
        self.inode = inode
        self.stream = stream
        self.path = path
        self.size = size


def plan_execution(thread: Thread, directory: int, path: bytes, *, follow: bool, empty_path: bool) -> ExecPlan:
    """Everything execveat(directory, path) decides. directory: AT_FDCWD or a descriptor.

    Raises SyscallError: ENOENT, EACCES, ENOEXEC, ELOOP, ELIBBAD, EBADF, ENOTDIR.
    """
    host = thread.executive.host
    program, name, comm = _first(thread, directory, path, follow, empty_path)
    prefix: list[bytes] | None = None
    script = name
    for _ in range(REWRITES_MAX + 1):
        try:
            header = host.stream_read(program.stream, 0, HEADER_SIZE)
            if not header.startswith(b"#!"):
                return _elf_plan(thread, program, header, name, prefix, comm)
            if script is name and _closes_on_exec(thread, directory, name):
                raise SyscallError(Errno.ENOENT)  # the interpreter could not open the script any more
            interpreter, argument = parse_shebang(header)
        except BaseException:
            host.stream_close(program.stream)
            raise
        host.stream_close(program.stream)
        prefix = [interpreter] + ([] if argument is None else [argument]) + [script] + ([] if prefix is None else prefix[1:])
        script = interpreter
        # The kernel takes an empty name (a line of blanks) for the current directory, which is not a regular file.
        program = open_program(thread, thread.executive.files.find(thread, None, interpreter or b"."))
    host.stream_close(program.stream)
    raise SyscallError(Errno.ELOOP)


def _closes_on_exec(thread: Thread, directory: int, name: bytes) -> bool:
    """Whether a file named by a descriptor (execveat) is gone once the exec is done."""
    if directory < 0 or not name.startswith(b"/dev/fd/"):
        return False
    return bool(thread.executive.host.descriptor_state(thread.host_tid, directory)[0] & _O_CLOEXEC)


def _first(thread: Thread, directory: int, path: bytes, follow: bool, empty_path: bool) -> tuple[Program, bytes, bytes]:
    """(the file named by execve itself, the name the kernel gives it: AT_EXECFN, its comm or empty)."""
    executive = thread.executive
    if not path:
        if not empty_path:
            raise SyscallError(Errno.ENOENT)
        if directory == AT_FDCWD:
            raise SyscallError(Errno.EACCES)  # the current directory: not a regular file
        name = b"/dev/fd/%d" % directory
        inode = executive.io.inode_of(thread, directory)
        if inode is None:
            return _open_foreign(thread, directory), name, name.rpartition(b"/")[2]
        return open_program(thread, inode), name, inode.name
    base = executive.io.base(thread, directory, path)
    inode = executive.files.find(thread, base, path, follow)
    if inode.is_symlink:
        raise SyscallError(Errno.ELOOP)
    return open_program(thread, inode), path if base is None else b"/dev/fd/%d/%s" % (directory, path), b""


def open_program(thread: Thread, inode: Inode) -> Program:
    """Open a regular file of the view that the caller may execute. Raises EACCES; ETXTBSY a guest has it open for writing."""
    if not inode.is_regular or inode.volume.no_exec or not permitted(inode, thread.process.credentials, _EXECUTE):
        raise SyscallError(Errno.EACCES)
    if inode.written and thread.executive.io.has_writers(inode):
        raise SyscallError(Errno.ETXTBSY)
    stream = inode.open_stream(thread, Access.READ | Access.EXECUTE, Create.OPEN)
    inode.stat_record()  # brings size up to date where native writers may have changed it
    return Program(stream, thread.executive.files.path_of(inode, thread.process.fs), inode.size, inode)


def _open_foreign(thread: Thread, descriptor: int) -> Program:
    """Open what a guest descriptor refers to when it is nothing of the view: a memfd. Raises EACCES for everything else."""
    host = thread.executive.host
    attributes = host.descriptor_attributes(thread.host_tid, descriptor)
    if attributes.mode & _S_IFMT != _S_IFREG or not attributes.mode & 0o111:
        raise SyscallError(Errno.EACCES)
    path = host.descriptor_name(thread.host_tid, descriptor)
    return Program(host.stream_open(b"guest:%d/%d" % (thread.host_tid, descriptor), Access.READ), path, attributes.size)


def _elf_plan(thread: Thread, program: Program, header: bytes, name: bytes, prefix: list[bytes] | None, comm: bytes) -> ExecPlan:
    image = _image(thread, program, header)
    return ExecPlan(
        name,
        image.plan(program.stream),
        None if image.interpreter is None else _interpreter(thread, image.interpreter),
        prefix,
        image.executable_stack,
        comm,
        program.path,
        credentials=thread.process.credentials.for_exec(*_set_ids(thread, program.inode)),
        executable=program.inode,
    )


def _set_ids(thread: Thread, inode: Inode | None) -> tuple[int | None, int | None]:
    """The ids a program's mode bits ask for (bprm_fill_uid); none for a tracee whose tracer could then look into what it may not."""
    if inode is None or inode.volume.no_suid or not inode.mode & (S_ISUID | S_ISGID):
        return None, None
    observer = thread.executive.observer
    tracee = None if observer is None else observer.traces().of(thread)
    if tracee is not None and not tracee.tracer.credentials.has_capability(Capability.SYS_PTRACE):
        return None, None
    group = inode.mode & (S_ISGID | 0o010) == S_ISGID | 0o010  # without group execution it is a mark for locks
    return inode.uid if inode.mode & S_ISUID else None, inode.gid if group else None


def _image(thread: Thread, program: Program, header: bytes) -> ElfImage:
    host = thread.executive.host
    return _images.image(header, lambda offset, size: host.stream_read(program.stream, offset, size), program.size)


def _interpreter(thread: Thread, path: bytes) -> ImagePlan:
    """The dynamic linker of an image. Raises ENOENT, EACCES; ELIBBAD when it is no ELF image itself."""
    host = thread.executive.host
    program = open_program(thread, thread.executive.files.find(thread, None, path))
    try:
        header = host.stream_read(program.stream, 0, HEADER_SIZE)
        try:
            image = _image(thread, program, header)
        except SyscallError as error:
            if error.errno == Errno.ENOEXEC:
                raise SyscallError(Errno.ELIBBAD) from None
            raise
    except BaseException:
        host.stream_close(program.stream)
        raise
    return image.plan(program.stream)
