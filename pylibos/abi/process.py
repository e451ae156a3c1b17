"""Constants of processes: clone flags, prctl, arch_prctl, personality, wait status, priorities. Pure data.

Source: Linux 6.18 include/uapi/linux/{sched,prctl,personality,wait,resource}.h, arch/x86/include/uapi/asm/prctl.h.
"""

from __future__ import annotations

from typing import Final

# -- clone(2) ---------------------------------------------------------------------------------------------------------
CLONE_VM: Final = 0x00000100
CLONE_FS: Final = 0x00000200
CLONE_FILES: Final = 0x00000400
CLONE_SIGHAND: Final = 0x00000800
CLONE_PIDFD: Final = 0x00001000
CLONE_PTRACE: Final = 0x00002000
CLONE_VFORK: Final = 0x00004000
CLONE_PARENT: Final = 0x00008000
CLONE_THREAD: Final = 0x00010000
CLONE_NEWNS: Final = 0x00020000
CLONE_SYSVSEM: Final = 0x00040000
CLONE_SETTLS: Final = 0x00080000
CLONE_PARENT_SETTID: Final = 0x00100000
CLONE_CHILD_CLEARTID: Final = 0x00200000
CLONE_UNTRACED: Final = 0x00800000
CLONE_CHILD_SETTID: Final = 0x01000000
CLONE_NEWCGROUP: Final = 0x02000000
CLONE_NEWUTS: Final = 0x04000000
CLONE_NEWIPC: Final = 0x08000000
CLONE_NEWUSER: Final = 0x10000000
CLONE_NEWPID: Final = 0x20000000
CLONE_NEWNET: Final = 0x40000000
CLONE_IO: Final = 0x80000000
CLONE_NEWTIME: Final = 0x00000080
CLONE_DETACHED: Final = 0x00400000
CLONE_CLEAR_SIGHAND: Final = 0x100000000
CLONE_INTO_CGROUP: Final = 0x200000000
CSIGNAL: Final = 0xFF
CLONE_LEGACY_FLAGS: Final = 0xFFFFFFFF
CLONE_TRACING: Final = CLONE_UNTRACED | CLONE_PTRACE
"""What a guest may ask of tracers of its children: nothing, every child is traced by us."""

NAMESPACE_FLAGS: Final = (
    CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWTIME
)

# -- prctl(2) ---------------------------------------------------------------------------------------------------------
PR_SET_PDEATHSIG: Final = 1
PR_GET_PDEATHSIG: Final = 2
PR_GET_DUMPABLE: Final = 3
PR_SET_DUMPABLE: Final = 4
PR_GET_UNALIGN: Final = 5
PR_SET_UNALIGN: Final = 6
PR_GET_KEEPCAPS: Final = 7
PR_SET_KEEPCAPS: Final = 8
PR_GET_FPEMU: Final = 9
PR_SET_FPEMU: Final = 10
PR_GET_FPEXC: Final = 11
PR_SET_FPEXC: Final = 12
PR_GET_TIMING: Final = 13
PR_SET_TIMING: Final = 14
PR_SET_NAME: Final = 15
PR_GET_NAME: Final = 16
PR_GET_ENDIAN: Final = 19
PR_SET_ENDIAN: Final = 20
PR_GET_SECCOMP: Final = 21
PR_SET_SECCOMP: Final = 22
PR_CAPBSET_READ: Final = 23
PR_CAPBSET_DROP: Final = 24
PR_GET_TSC: Final = 25
PR_SET_TSC: Final = 26
PR_GET_SECUREBITS: Final = 27
PR_SET_SECUREBITS: Final = 28
PR_SET_TIMERSLACK: Final = 29
PR_GET_TIMERSLACK: Final = 30
PR_TASK_PERF_EVENTS_DISABLE: Final = 31
PR_TASK_PERF_EVENTS_ENABLE: Final = 32
PR_MCE_KILL: Final = 33
PR_MCE_KILL_GET: Final = 34
PR_SET_MM: Final = 35
PR_SET_CHILD_SUBREAPER: Final = 36
PR_GET_CHILD_SUBREAPER: Final = 37
PR_SET_NO_NEW_PRIVS: Final = 38
PR_GET_NO_NEW_PRIVS: Final = 39
PR_GET_TID_ADDRESS: Final = 40
PR_SET_THP_DISABLE: Final = 41
PR_GET_THP_DISABLE: Final = 42
PR_CAP_AMBIENT: Final = 47
PR_GET_SPECULATION_CTRL: Final = 52
PR_SET_SPECULATION_CTRL: Final = 53
PR_SET_IO_FLUSHER: Final = 57
PR_GET_IO_FLUSHER: Final = 58
PR_SET_SYSCALL_USER_DISPATCH: Final = 59
PR_SCHED_CORE: Final = 62
SCHED_OTHER: Final = 0
PR_SET_MDWE: Final = 65
PR_GET_MDWE: Final = 66
PR_SET_MEMORY_MERGE: Final = 67
PR_GET_MEMORY_MERGE: Final = 68
PR_SET_VMA: Final = 0x53564D41
PR_GET_AUXV: Final = 0x41555856

PR_CAP_AMBIENT_IS_SET: Final = 1
PR_CAP_AMBIENT_RAISE: Final = 2
PR_CAP_AMBIENT_LOWER: Final = 3
PR_CAP_AMBIENT_CLEAR_ALL: Final = 4

# -- arch_prctl(2) ----------------------------------------------------------------------------------------------------
ARCH_SET_GS: Final = 0x1001
ARCH_SET_FS: Final = 0x1002
ARCH_GET_FS: Final = 0x1003
ARCH_GET_GS: Final = 0x1004
ARCH_GET_CPUID: Final = 0x1011
ARCH_SET_CPUID: Final = 0x1012
ARCH_GET_XCOMP_SUPP: Final = 0x1021
ARCH_GET_XCOMP_PERM: Final = 0x1022
ARCH_REQ_XCOMP_PERM: Final = 0x1023

# -- personality(2) ---------------------------------------------------------------------------------------------------
PER_LINUX: Final = 0x0000
PER_LINUX32: Final = 0x0008
UNAME26: Final = 0x0020000
ADDR_NO_RANDOMIZE: Final = 0x0040000
PERSONALITY_KNOWN: Final = PER_LINUX32 | UNAME26 | ADDR_NO_RANDOMIZE
"""What the library OS gives effect to: the name of the machine, of the release, and where images are mapped."""
PERSONALITY_QUERY: Final = 0xFFFFFFFF

# -- resources --------------------------------------------------------------------------------------------------------
PIDFD_NONBLOCK: Final = 0o4000
PIDFD_THREAD: Final = 0o200

RLIMIT_COUNT: Final = 16
RLIM_INFINITY: Final = 0xFFFFFFFFFFFFFFFF
RLIMIT_FSIZE: Final = 1
RLIMIT_NOFILE: Final = 7

PRIO_PROCESS: Final = 0
PRIO_PGRP: Final = 1
PRIO_USER: Final = 2

NSIG: Final = 64
"""Highest signal number."""
SIGKILL: Final = 9
SIGCONT: Final = 18
SIGIO: Final = 29

AT_FDCWD: Final = -100
