"""The status table is complete, and the two NT classes of codes are told apart."""

from __future__ import annotations

from pylibos.abi.errno import Errno
from pylibos.abi.ntstatus import ERRNO_OF, NtStatus


def test_every_status_has_an_errno() -> None:
    assert set(ERRNO_OF) == set(NtStatus)


def test_severities() -> None:
    for status in NtStatus:
        assert status >> 30 in {0, 2, 3}, status.name
        assert not status & 0x3000_0000, "neither customer nor reserved bits"


def test_pairs_linux_programs_depend_on() -> None:
    assert ERRNO_OF[NtStatus.OBJECT_NAME_NOT_FOUND] is Errno.ENOENT
    assert ERRNO_OF[NtStatus.OBJECT_NAME_COLLISION] is Errno.EEXIST
    assert ERRNO_OF[NtStatus.INVALID_HANDLE] is Errno.EBADF
    assert ERRNO_OF[NtStatus.TIMEOUT] is Errno.ETIMEDOUT
