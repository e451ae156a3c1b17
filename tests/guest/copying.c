// sendfile, copy_file_range, splice, tee, vmsplice.
#include "guest.h"
#include <sys/sendfile.h>

CASE(sendfile_calls)
{
    make_file("in", "0123456789", 0644);
    int in = MUST(open("in", O_RDONLY)), out = MUST(open("out", O_CREAT | O_RDWR, 0644));
    off_t offset = 2;
    SHOW(sendfile(out, in, &offset, 3));
    say("offset %ld position %ld", (long)offset, (long)lseek(in, 0, SEEK_CUR));
    SHOW(sendfile(out, in, NULL, 100));
    SHOW(sendfile(out, in, NULL, 100));
    show_file("out");
    SHOW(sendfile(in, out, NULL, 1)), SHOW(sendfile(out, 999, NULL, 1)), SHOW(sendfile(out, in, (void *)1, 1));
    offset = -1;
    SHOW(sendfile(out, in, &offset, 1));
    int fds[2];
    MUST(pipe(fds));
    MUST(lseek(in, 0, SEEK_SET));
    SHOW(sendfile(fds[1], in, NULL, 10));
    SHOW(sendfile(out, fds[0], NULL, 10));
}
CASE(copy_ranges)
{
    make_file("in", "0123456789", 0644);
    int in = MUST(open("in", O_RDONLY)), out = MUST(open("out", O_CREAT | O_RDWR, 0644));
    loff_t from = 5, to = 2;
    SHOW(copy_file_range(in, &from, out, &to, 3, 0));
    say("%ld %ld", (long)from, (long)to);
    show_mode("out");
    SHOW(copy_file_range(in, NULL, out, NULL, 100, 0));
    SHOW(copy_file_range(in, NULL, out, NULL, 100, 0));
    show_file("out");
    SHOW(copy_file_range(in, NULL, out, NULL, 1, 1));
    SHOW(copy_file_range(out, NULL, in, NULL, 1, 0));
    int append = MUST(open("out", O_WRONLY | O_APPEND));
    MUST(lseek(in, 0, SEEK_SET));
    SHOW(copy_file_range(in, NULL, append, NULL, 1, 0));
    int dir = MUST(open(".", O_RDONLY));
    SHOW(copy_file_range(dir, NULL, out, NULL, 1, 0));
    int same = MUST(open("in", O_RDWR));
    from = 0, to = 2;
    SHOW(copy_file_range(same, &from, same, &to, 5, 0));
}
CASE(splices)
{
    int fds[2], other[2];
    char buffer[32] = "";
    MUST(pipe(fds)), MUST(pipe(other));
    make_file("in", "0123456789", 0644);
    int in = MUST(open("in", O_RDONLY)), out = MUST(open("out", O_CREAT | O_RDWR, 0644));
    loff_t from = 4;
    SHOW(splice(in, &from, fds[1], NULL, 4, 0));
    SHOW(tee(fds[0], other[1], 100, 0));
    SHOW(splice(fds[0], NULL, out, NULL, 100, 0));
    show_file("out");
    SHOW(read(other[0], buffer, 32));
    say("%s", buffer);
    SHOW(splice(in, NULL, out, NULL, 1, 0)), SHOW(splice(in, NULL, 999, NULL, 1, 0));
    SHOW(splice(fds[0], NULL, other[1], NULL, 1, SPLICE_F_NONBLOCK));
    struct iovec vector = {"vector", 6};
    SHOW(vmsplice(fds[1], &vector, 1, 0));
    SHOW(splice(fds[0], NULL, other[1], NULL, 100, 0));
    SHOW(read(other[0], buffer, 32));
    SHOW(splice(fds[0], &from, out, NULL, 1, 0));
}
CASE(to_devices)
{
    make_file("in", "0123456789", 0644);
    int in = MUST(open("in", O_RDONLY)), null = MUST(open("/dev/null", O_WRONLY));
    SHOW(sendfile(null, in, NULL, 10));
}
