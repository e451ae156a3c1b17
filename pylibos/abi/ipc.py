"""System V IPC and POSIX message queues: commands, flags and structures of x86-64. Pure data.

Sizes are bytes, times seconds since the epoch. Source: Linux include/uapi/linux/{ipc,shm,sem,msg,mqueue}.h, asm-generic/*buf.h (6.18).
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

IPC_PRIVATE: Final = 0
IPC_CREAT: Final = 0o1000
IPC_EXCL: Final = 0o2000
IPC_NOWAIT: Final = 0o4000

IPC_RMID: Final = 0
IPC_SET: Final = 1
IPC_STAT: Final = 2
IPC_INFO: Final = 3
MSG_STAT: Final = 11
MSG_INFO: Final = 12
MSG_STAT_ANY: Final = 13
SHM_LOCK: Final = 11
SHM_UNLOCK: Final = 12
SHM_STAT: Final = 13
SHM_INFO: Final = 14
SHM_STAT_ANY: Final = 15
GETPID: Final = 11
GETVAL: Final = 12
GETALL: Final = 13
GETNCNT: Final = 14
GETZCNT: Final = 15
SETVAL: Final = 16
SETALL: Final = 17
SEM_STAT: Final = 18
SEM_INFO: Final = 19
SEM_STAT_ANY: Final = 20

SHM_RDONLY: Final = 0o10000
SHM_RND: Final = 0o20000
SHM_REMAP: Final = 0o40000
SHM_EXEC: Final = 0o100000
SHM_HUGETLB: Final = 0o4000
SHM_DEST: Final = 0o1000
"""In the mode shmctl reports: removed, goes with its last attachment."""
SHM_LOCKED: Final = 0o2000
SEM_UNDO: Final = 0x1000
MSG_NOERROR: Final = 0o10000
MSG_EXCEPT: Final = 0o20000
MSG_COPY: Final = 0o40000

SEMMSL: Final = 32000
"""Semaphores in a set."""
SEMMNI: Final = 32000
SEMOPM: Final = 500
"""Operations in one semop."""
SEMVMX: Final = 32767
SEMAEM: Final = SEMVMX
SEQUENCE_SHIFT: Final = 15
"""An identifier is sequence number << 15 | index."""
SEQUENCE_MAX: Final = 0x7FFFFFFF >> SEQUENCE_SHIFT

PERM: Final = struct.Struct("<iIIIIIHHxxxxQQ")
"""struct ipc64_perm, 48 bytes: key uid gid cuid cgid mode seq pad | 2 unused."""
SHMID_TAIL: Final = struct.Struct("<QqqqiiQQQ")
"""struct shmid64_ds after its perm, 64 bytes: segsz atime dtime ctime cpid lpid nattch | 2 unused."""
SEMID_TAIL: Final = struct.Struct("<qQqQQQQ")
"""struct semid64_ds after its perm, 56 bytes: otime unused ctime unused nsems | 2 unused."""
MSQID_TAIL: Final = struct.Struct("<qqqQQQiiQQ")
"""struct msqid64_ds after its perm, 72 bytes: stime rtime ctime cbytes qnum qbytes lspid lrpid | 2 unused."""
SHMINFO: Final = struct.Struct("<QQQQQ4Q")
"""struct shminfo64, 72 bytes: shmmax shmmin shmmni shmseg shmall | 4 unused."""
SHM_INFO_RECORD: Final = struct.Struct("<i4xQQQQQ")
"""struct shm_info, 48 bytes: used_ids shm_tot shm_rss shm_swp swap_attempts swap_successes (pages)."""
SEMINFO: Final = struct.Struct("<10i")
"""struct seminfo, 40 bytes: semmap semmni semmns semmnu semmsl semopm semume semusz semvmx semaem."""
MSGINFO: Final = struct.Struct("<7iH2x")
"""struct msginfo, 32 bytes: msgpool msgmap msgmax msgmnb msgmni msgssz msgtql msgseg."""
SEMBUF: Final = struct.Struct("<Hhh")
"""struct sembuf, 6 bytes: sem_num sem_op sem_flg."""
LONG: Final = struct.Struct("<q")
"""The mtype before a message's text."""
INT: Final = struct.Struct("<i")

MQ_PRIO_MAX: Final = 32768
MQ_HARD_MESSAGES: Final = 65536
MQ_HARD_SIZE: Final = 16 << 20
MQ_NAME_MAX: Final = 255
MQ_ATTR: Final = struct.Struct("<8q")
"""struct mq_attr, 64 bytes: flags maxmsg msgsize curmsgs | 4 reserved."""


class SignalEvent(NamedTuple):
    """What a struct sigevent asks for; value is the raw union sigval."""

    value: int
    signal: int
    notify: int


SIGEVENT: Final = struct.Struct("<Qii48x")
"""struct sigevent, 64 bytes: value signo notify | the rest depends on notify."""
SIGEV_SIGNAL: Final = 0
SIGEV_NONE: Final = 1
SIGEV_THREAD: Final = 2
SI_MESGQ: Final = -3
SIGINFO_QUEUED: Final = struct.Struct("<iii4xiIQ96x")
"""siginfo_t of a queued signal, 128 bytes: signo errno code | pid uid value."""

assert (PERM.size, SHMID_TAIL.size, SEMID_TAIL.size, MSQID_TAIL.size) == (48, 64, 56, 72)
assert (SHMINFO.size, SHM_INFO_RECORD.size, SEMINFO.size, MSGINFO.size, SEMBUF.size) == (72, 48, 40, 32, 6)
assert (MQ_ATTR.size, SIGEVENT.size, SIGINFO_QUEUED.size) == (64, 64, 128)
