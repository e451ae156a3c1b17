// What a name leads to depends on who asks, and on the root.
// user: root
#include "guest.h"

static void ask(const char *label, const char *path)
{
    struct stat s = {0};
    int found = 0, real = 0, effective = 0;
    for (int i = 0; i < 4; i++) {
        found = stat(path, &s) ? -errno : 0;
        real = access(path, R_OK) ? -errno : 0;
        effective = (int)syscall(439 /* faccessat2 */, AT_FDCWD, path, R_OK, AT_EACCESS) ? -errno : 0;
    }
    say("%s: stat %d access %d by effective ids %d", label, found, real, effective);
}

CASE(ids_change)
{
    MUST(chmod(".", 0755));
    MUST(mkdir("a", 0700));
    make_file("a/f", "text", 0644);
    make_file("g", "text", 0600);
    ask("root", "a/f");
    ask("root", "g");
    MUST(seteuid(65534));
    ask("nobody", "a/f");
    ask("nobody", "g");
    MUST(seteuid(0));
    ask("root again", "a/f");
    MUST(chown("g", 65534, 65534));
    MUST(seteuid(65534));
    ask("owner", "g");
}

CASE(roots_change)
{
    MUST(mkdir("new", 0755));
    make_file("new/f", "text", 0644);
    ask("before", "/f");
    MUST(chroot("new"));
    ask("after", "/f");
    ask("outside", "new/f");
}
