// Extended attributes of the trusted name space, which root alone sees, and those of symbolic links.
// user: root
#include "guest.h"
#include <sys/xattr.h>

CASE(links_have_their_own)
{
    char buffer[64] = "";
    make_file("f", "x", 0644);
    MUST(symlink("f", "l"));
    SHOW(setxattr("f", "trusted.t", "42", 2, 0));
    SHOW(lsetxattr("l", "trusted.t", "link", 4, 0));
    SHOW(lgetxattr("l", "trusted.t", buffer, sizeof buffer));
    say("%.4s", buffer);
    SHOW(getxattr("l", "trusted.t", buffer, sizeof buffer));
    say("%.2s", buffer);
    SHOW(llistxattr("l", buffer, sizeof buffer));
    say("%s", buffer);
    SHOW(lsetxattr("l", "trusted.t", "again", 5, XATTR_CREATE));
    SHOW(lsetxattr("l", "user.u", "1", 1, 0));
    SHOW(lgetxattr("l", "user.u", buffer, sizeof buffer));
    MUST(rename("l", "m"));
    SHOW(lgetxattr("m", "trusted.t", buffer, sizeof buffer));
    SHOW(lremovexattr("m", "trusted.t"));
    SHOW(lremovexattr("m", "trusted.t"));
    SHOW(lgetxattr("m", "trusted.t", buffer, sizeof buffer));
    SHOW(getxattr("f", "trusted.t", buffer, sizeof buffer));
}
CASE(not_for_users)
{
    char buffer[64] = "";
    make_file("f", "x", 0666);
    MUST(setxattr("f", "trusted.t", "42", 2, 0));
    MUST(setxattr("f", "user.u", "42", 2, 0));
    MUST(setresuid(65534, 65534, 65534));
    SHOW(getxattr("f", "trusted.t", buffer, sizeof buffer));
    SHOW(listxattr("f", buffer, sizeof buffer));
    say("%s", buffer);
    SHOW(setxattr("f", "trusted.n", "42", 2, 0));
    SHOW(removexattr("f", "trusted.t"));
}
