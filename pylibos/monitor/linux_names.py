"""Names of the Linux host: attributes, directories, links and extended attributes by URI.

What it is: the part of the host ABI that takes file: and dir: names. Every call asks the policy first (Paths.allow) and then works
relative to a descriptor of the parent directory, so that no symbolic link is followed and no name is walked twice.
Owns no state. Must not know handles, guests or the loop.
Sources: fstatat(2), mkdirat(2), unlinkat(2), renameat2(2), linkat(2), symlinkat(2), mknodat(2), xattr(7), statfs(2).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from typing import Final

from pylibos.monitor.errors import host_call, host_error
from pylibos.monitor.host_abi import AttributeChange, DirectoryEntry, HostError, NodeKind, StreamAttributes, Uri, VolumeInformation
from pylibos.monitor.linux_paths import Paths, host_path
from pylibos.monitor.linux_streams import apply_change, attributes, rare
from pylibos.monitor.policy import Operation

EPERM: Final = 1
EBADF: Final = 9
ENODATA: Final = 61
SOCKET_PROTOCOL: Final = b"system.sockprotoname"
"""The kernel's name of an open socket's protocol (TCP, UDPv6, UNIX-STREAM), as an attribute of the socket."""
EXDEV: Final = 18
EINVAL: Final = 22
_O_PATH: Final = os.O_PATH
_NAME_LIMIT: Final = 255
_GUEST_URI: Final = 30
EOPNOTSUPP: Final = 95
_KINDS: Final = {int(kind): kind for kind in NodeKind}
_RENAME_FLAGS: Final = 3
_ATTRIBUTE_FLAGS: Final = 3
_MAKEABLE: Final = (stat.S_IFIFO, stat.S_IFSOCK)


def _kind(entry: os.DirEntry[str]) -> NodeKind:
    """The kind scandir learnt with the name; only odd ones cost a stat."""
    if entry.is_file(follow_symlinks=False):
        return NodeKind.REGULAR
    if entry.is_dir(follow_symlinks=False):
        return NodeKind.DIRECTORY
    if entry.is_symlink():
        return NodeKind.SYMLINK
    try:
        return _KINDS.get(entry.stat(follow_symlinks=False).st_mode >> 12, NodeKind.UNKNOWN)
    except OSError:
        return NodeKind.UNKNOWN


class LinuxNames:
    """Calls by name."""

    def __init__(self, paths: Paths) -> None:
        self._named = paths

    # -- attributes ------------------------------------------------------------------------------------------------

    def stream_query(self, uri: Uri) -> StreamAttributes:
        path = host_path(uri)
        paths = self._named
        paths.allow(Operation.QUERY, path)
        try:
            descriptor = paths.open(path, _O_PATH)
            try:
                return attributes(os.fstat(descriptor))
            finally:
                os.close(descriptor)
        except (OSError, ValueError) as error:
            raise host_error(error) from None

    @host_call
    def stream_change(self, uri: Uri, change: AttributeChange) -> None:
        path = host_path(uri)
        self._named.allow(Operation.CHANGE, path)
        descriptor = self._named.open(path, _O_PATH)
        try:
            if not stat.S_ISLNK(os.fstat(descriptor).st_mode):
                apply_change(descriptor, change)
                return
        finally:
            os.close(descriptor)
        self._change_link(path, change)

    def _change_link(self, path: bytes, change: AttributeChange) -> None:
        """A symbolic link has an owner and times, but neither mode nor size."""
        if change.mode is not None or change.size is not None:
            raise HostError(EINVAL if change.size is not None else 95)
        directory, name = self._named.parent(path)
        try:
            if change.uid is not None or change.gid is not None:
                uid = -1 if change.uid is None else change.uid
                gid = -1 if change.gid is None else change.gid
                os.chown(name, uid, gid, dir_fd=directory, follow_symlinks=False)
            if change.atime_ns is not None or change.mtime_ns is not None:
                rare().set_times(directory, name, change.atime_ns, change.mtime_ns, follow=False)
        finally:
            os.close(directory)

    @host_call
    def volume_query(self, uri: Uri) -> VolumeInformation:
        path = host_path(uri)
        self._named.allow(Operation.QUERY, path)
        descriptor = self._named.open(path, _O_PATH)
        try:
            return VolumeInformation(*rare().volume(descriptor))
        finally:
            os.close(descriptor)

    # -- making and removing names -------------------------------------------------------------------------------------

    @host_call
    def stream_delete(self, uri: Uri) -> None:
        path = host_path(uri)
        self._named.allow(Operation.DELETE, path)
        directory, name = self._named.parent(path)
        try:
            if uri.startswith(b"dir:"):
                os.rmdir(name, dir_fd=directory)
            else:
                os.unlink(name, dir_fd=directory)
        finally:
            os.close(directory)

    @host_call
    def stream_rename(self, source: Uri, target: Uri, flags: int = 0) -> None:
        if flags & ~_RENAME_FLAGS or flags == _RENAME_FLAGS:
            raise HostError(EINVAL)
        source_path, target_path = host_path(source), host_path(target)
        self._named.allow(Operation.RENAME, source_path)
        self._named.allow(Operation.RENAME, target_path)
        source_directory, source_name = self._named.parent(source_path)
        try:
            target_directory, target_name = self._named.parent(target_path)
            try:
                if flags:
                    rare().rename(source_directory, source_name, target_directory, target_name, flags)
                else:
                    os.rename(source_name, target_name, src_dir_fd=source_directory, dst_dir_fd=target_directory)
            finally:
                os.close(target_directory)
        finally:
            os.close(source_directory)

    @host_call
    def stream_link(self, source: Uri, target: Uri) -> None:
        if source.startswith(b"guest:"):
            self._link_open(source[6:], target)
            return
        source_path, target_path = host_path(source), host_path(target)
        # A second name makes the object writable by that name too, so the source must be writable already.
        self._named.allow(Operation.LINK, source_path)
        self._named.allow(Operation.CREATE, target_path)
        source_directory, source_name = self._named.parent(source_path)
        try:
            target_directory, target_name = self._named.parent(target_path)
            try:
                os.link(source_name, target_name, src_dir_fd=source_directory, dst_dir_fd=target_directory, follow_symlinks=False)
            finally:
                os.close(target_directory)
        finally:
            os.close(source_directory)

    def _link_open(self, name: bytes, target: Uri) -> None:
        """A name for an open file of a guest. ENOENT when it has none and may have none."""
        from pylibos.monitor.linux_reopen import pinned_path, reopen_guest

        target_path = host_path(target)
        pinned = reopen_guest(name, _O_PATH, ())
        try:
            source_path = pinned_path(pinned)
            if not source_path:
                raise HostError(EXDEV, "no file of the host")
            self._named.allow(Operation.LINK, source_path)
            self._named.allow(Operation.CREATE, target_path)
            directory, last = self._named.parent(target_path)
            try:
                os.link(b"/proc/self/fd/%d" % pinned, last, dst_dir_fd=directory, follow_symlinks=True)
            finally:
                os.close(directory)
        finally:
            os.close(pinned)

    @host_call
    def directory_create(self, uri: Uri, mode: int) -> None:
        directory, name = self._new_name(uri)
        try:
            os.mkdir(name, mode & 0o7777, dir_fd=directory)
        finally:
            os.close(directory)

    @host_call
    def symlink_create(self, uri: Uri, target: bytes) -> None:
        directory, name = self._new_name(uri)
        try:
            os.symlink(target, name, dir_fd=directory)
        finally:
            os.close(directory)

    @host_call
    def node_create(self, uri: Uri, mode: int) -> None:
        if stat.S_IFMT(mode) not in _MAKEABLE:
            raise HostError(EPERM, "devices are never made")
        directory, name = self._new_name(uri)
        try:
            os.mknod(name, mode, dir_fd=directory)
        finally:
            os.close(directory)

    def _new_name(self, uri: bytes) -> tuple[int, bytes]:
        """(parent descriptor, name) of something about to be made."""
        path = host_path(uri)
        self._named.allow(Operation.CREATE, path)
        return self._named.parent(path)

    # -- reading names -------------------------------------------------------------------------------------------------

    @host_call
    def directory_list(self, uri: Uri) -> Sequence[DirectoryEntry]:
        path = host_path(uri)
        self._named.allow(Operation.LIST, path)
        hidden = self._named.policy.hidden_names(path)
        descriptor = self._named.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            encode = os.fsencode
            with os.scandir(descriptor) as entries:
                found = [DirectoryEntry(encode(entry.name), entry.inode(), _kind(entry)) for entry in entries]
        finally:
            os.close(descriptor)
        return found if hidden is None else [entry for entry in found if not hidden(entry.name)]

    @host_call
    def symlink_read(self, uri: Uri) -> bytes:
        path = host_path(uri)
        self._named.allow(Operation.QUERY, path)
        descriptor = self._named.open(path, _O_PATH)
        try:
            return os.readlink(b"", dir_fd=descriptor)
        except FileNotFoundError:
            raise HostError(EINVAL, "not a symbolic link") from None
        finally:
            os.close(descriptor)

    # -- extended attributes -------------------------------------------------------------------------------------------

    @host_call
    def attribute_list(self, uri: Uri) -> Sequence[bytes]:
        descriptor = self._named_object(uri, Operation.QUERY)
        try:
            return [os.fsencode(name) for name in os.listxattr(b"/proc/self/fd/%d" % descriptor)]
        finally:
            os.close(descriptor)

    @host_call
    def attribute_read(self, uri: Uri, name: bytes) -> bytes:
        if name == SOCKET_PROTOCOL:
            return _socket_protocol(uri)
        descriptor = self._named_object(uri, Operation.QUERY)
        try:
            return os.getxattr(b"/proc/self/fd/%d" % descriptor, name)
        finally:
            os.close(descriptor)

    @host_call
    def attribute_write(self, uri: Uri, name: bytes, value: bytes | None, flags: int = 0) -> None:
        if flags & ~_ATTRIBUTE_FLAGS or len(name) > _NAME_LIMIT:
            raise HostError(EINVAL)
        descriptor = self._named_object(uri, Operation.CHANGE)
        try:
            if value is None:
                os.removexattr(b"/proc/self/fd/%d" % descriptor, name)
            else:
                os.setxattr(b"/proc/self/fd/%d" % descriptor, name, value, flags)
        finally:
            os.close(descriptor)

    def _named_object(self, uri: bytes, operation: Operation) -> int:
        """An O_PATH descriptor of the object, a symbolic link itself included."""
        path = host_path(uri)
        self._named.allow(operation, path)
        return self._named.open(path, _O_PATH)


def _socket_protocol(uri: bytes) -> bytes:
    """The protocol's name of a guest's socket. EBADF not open, ENODATA no socket."""
    process, _, descriptor = uri.removeprefix(b"guest:").partition(b"/")
    if not uri.startswith(b"guest:") or not (process.isdigit() and descriptor.isdigit()) or len(uri) > _GUEST_URI:
        raise HostError(EINVAL)
    try:
        return os.getxattr(b"/proc/%d/fd/%d" % (int(process), int(descriptor)), SOCKET_PROTOCOL).rstrip(b"\0")
    except FileNotFoundError:
        raise HostError(EBADF) from None
    except OSError as error:
        raise HostError(ENODATA if error.errno == EOPNOTSUPP else error.errno or EINVAL) from None
