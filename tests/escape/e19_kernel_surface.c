// Classes 19, 20 and 23: parallel call paths and privileged calls do not exist; nothing is gained by set-user-id programs.
#include "escape.h"
static void attack(void)
{
    static const long absent[] = {SYS_io_uring_setup, SYS_io_uring_enter, SYS_io_uring_register, SYS_userfaultfd, SYS_bpf, SYS_perf_event_open, SYS_add_key, SYS_request_key, SYS_keyctl};
    static const long privileged[] = {SYS_mount, SYS_umount2, SYS_pivot_root, SYS_reboot, SYS_swapon, SYS_init_module, SYS_kexec_load, SYS_open_by_handle_at, SYS_iopl, SYS_setns, SYS_settimeofday};
    for (unsigned index = 0; index < sizeof absent / sizeof *absent; index++)
        REFUSED(syscall(absent[index], 1, 1, 1, 1, 1, 1), ENOSYS);
    for (unsigned index = 0; index < sizeof privileged / sizeof *privileged; index++)
        HOLE_IF(syscall(privileged[index], "none", "/", "tmpfs", 0, 0, 0) == 0);
    HOLE_IF(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1 && access("/proc/self/status", R_OK) != 0);
    HOLE_IF(open("/dev/mem", O_RDWR) >= 0 || open("/dev/kmsg", O_RDWR) >= 0 || open("/proc/sysrq-trigger", O_WRONLY) >= 0);
    HOLE_IF(mknod("disk", S_IFBLK | 0666, 0x800) == 0 && open("disk", O_RDONLY) >= 0);
    HOLE_IF(mknod("memory", S_IFCHR | 0666, 0x101) == 0 && open("memory", O_RDONLY) >= 0);
}
