// Extended attributes in the user name space.
#include "guest.h"
#include <sys/xattr.h>

CASE(set_get_list_remove)
{
    char buffer[256];
    make_file("f", "x", 0644);
    SHOW(getxattr("f", "user.a", buffer, sizeof buffer));
    SHOW(setxattr("f", "user.a", "value", 5, 0));
    SHOW(getxattr("f", "user.a", buffer, sizeof buffer));
    say("%.5s", buffer);
    SHOW(getxattr("f", "user.a", NULL, 0));
    SHOW(getxattr("f", "user.a", buffer, 2));
    SHOW(setxattr("f", "user.a", "new", 3, XATTR_CREATE));
    SHOW(setxattr("f", "user.a", "new", 3, XATTR_REPLACE));
    SHOW(setxattr("f", "user.b", "", 0, XATTR_REPLACE));
    SHOW(setxattr("f", "user.b", "", 0, XATTR_CREATE));
    SHOW(setxattr("f", "user.c", "x", 1, 3));
    SHOW(getxattr("f", "user.b", buffer, sizeof buffer));
    SHOW(listxattr("f", NULL, 0));
    SHOW(listxattr("f", buffer, 3));
    SHOW(listxattr("f", buffer, sizeof buffer));
    say("%d", (!strcmp(buffer, "user.a") && !strcmp(buffer + 7, "user.b")) || (!strcmp(buffer, "user.b") && !strcmp(buffer + 7, "user.a")));
    SHOW(removexattr("f", "user.a"));
    SHOW(removexattr("f", "user.a"));
    SHOW(listxattr("f", NULL, 0));
}
CASE(names)
{
    char name[300];
    make_file("f", "x", 0644);
    SHOW(setxattr("f", "noprefix", "v", 1, 0));
    SHOW(setxattr("f", "unknown.x", "v", 1, 0));
    SHOW(setxattr("f", "user.", "v", 1, 0));
    SHOW(setxattr("f", "", "v", 1, 0));
    memset(name, 'n', sizeof name);
    memcpy(name, "user.", 5);
    name[255] = 0;
    SHOW(setxattr("f", name, "v", 1, 0));
    name[255] = 'n', name[256] = 0;
    SHOW(setxattr("f", name, "v", 1, 0));
    SHOW(setxattr("f", NULL, "v", 1, 0));
    SHOW(setxattr("f", "user.x", (void *)1, 1, 0));
    SHOW(setxattr("f", "user.x", "v", 70000, 0));
    SHOW(setxattr("missing", "user.x", "v", 1, 0));
    SHOW(getxattr("f", "user.none", name, 10));
}
CASE(objects)
{
    char buffer[16];
    make_file("f", "x", 0644);
    MUST(mkdir("d", 0755));
    MUST(symlink("f", "l"));
    int fd = MUST(open("f", O_RDWR));
    SHOW(fsetxattr(fd, "user.x", "1", 1, 0));
    SHOW(getxattr("l", "user.x", buffer, 16));
    SHOW(lgetxattr("l", "user.x", buffer, 16));
    SHOW(lsetxattr("l", "user.x", "1", 1, 0));
    SHOW(setxattr("d", "user.x", "2", 1, 0));
    SHOW(fgetxattr(fd, "user.x", buffer, 16));
    SHOW(fremovexattr(fd, "user.x"));
    SHOW(flistxattr(fd, buffer, 16));
    SHOW(fgetxattr(999, "user.x", buffer, 16));
    MUST(setxattr("f", "user.kept", "k", 1, 0));
    MUST(rename("f", "g"));
    SHOW(getxattr("g", "user.kept", buffer, 16));
    MUST(link("g", "h"));
    SHOW(getxattr("h", "user.kept", buffer, 16));
    MUST(mkfifo("p", 0600));
    SHOW(setxattr("p", "user.x", "1", 1, 0));
}
