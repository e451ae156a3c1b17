"""poll, epoll, eventfd, timerfd, signalfd and inotify numbers and layouts. Pure data.

Source: Linux include/uapi/asm-generic/poll.h, include/uapi/linux/{eventpoll,eventfd,timerfd,signalfd,inotify}.h (6.18).
"""

from __future__ import annotations

import struct
from typing import Final

POLLIN: Final = 0x0001
POLLPRI: Final = 0x0002
POLLOUT: Final = 0x0004
POLLERR: Final = 0x0008
POLLHUP: Final = 0x0010
POLLNVAL: Final = 0x0020
POLLRDNORM: Final = 0x0040
POLLRDBAND: Final = 0x0080
POLLWRNORM: Final = 0x0100
POLLWRBAND: Final = 0x0200
POLLRDHUP: Final = 0x2000

EPOLL_CTL_ADD: Final = 1
EPOLL_CTL_DEL: Final = 2
EPOLL_CTL_MOD: Final = 3
EPOLL_CLOEXEC: Final = 0o2000000

EFD_SEMAPHORE: Final = 1
EFD_NONBLOCK: Final = 0o4000
EFD_CLOEXEC: Final = 0o2000000

TFD_TIMER_ABSTIME: Final = 1
TFD_TIMER_CANCEL_ON_SET: Final = 2
TFD_NONBLOCK: Final = 0o4000
TFD_CLOEXEC: Final = 0o2000000

SFD_NONBLOCK: Final = 0o4000
SFD_CLOEXEC: Final = 0o2000000

IN_ACCESS: Final = 0x0001
IN_MODIFY: Final = 0x0002
IN_ATTRIB: Final = 0x0004
IN_CLOSE_WRITE: Final = 0x0008
IN_CLOSE_NOWRITE: Final = 0x0010
IN_OPEN: Final = 0x0020
IN_MOVED_FROM: Final = 0x0040
IN_MOVED_TO: Final = 0x0080
IN_CREATE: Final = 0x0100
IN_DELETE: Final = 0x0200
IN_DELETE_SELF: Final = 0x0400
IN_MOVE_SELF: Final = 0x0800
IN_UNMOUNT: Final = 0x2000
IN_Q_OVERFLOW: Final = 0x4000
IN_IGNORED: Final = 0x8000
IN_ONLYDIR: Final = 0x0100_0000
IN_DONT_FOLLOW: Final = 0x0200_0000
IN_EXCL_UNLINK: Final = 0x0400_0000
IN_MASK_CREATE: Final = 0x1000_0000
IN_MASK_ADD: Final = 0x2000_0000
IN_ISDIR: Final = 0x4000_0000
IN_ONESHOT: Final = 0x8000_0000

POLLFD: Final = struct.Struct("<iHH")
"""struct pollfd, 8 bytes: fd events revents."""
EPOLL_EVENT: Final = struct.Struct("<IQ")
"""struct epoll_event, 12 bytes (packed on x86-64): events data."""
INOTIFY_EVENT: Final = struct.Struct("<iIII")
"""struct inotify_event up to the name, 16 bytes: wd mask cookie len (bytes, padded with NULs)."""
