// System V message queues: order and types, waiting for messages and for room, limits, removal.
// grant: cow
// user: nobody
#include "guest.h"
#include <sys/ipc.h>
#include <sys/msg.h>

#ifndef MSG_COPY
#define MSG_COPY 040000
#endif
struct message {
    long type;
    char text[9000];
};
static int put(int id, long type, const char *text, int flags)
{
    struct message message = {.type = type};
    strcpy(message.text, text);
    return msgsnd(id, &message, strlen(text) + 1, flags);
}
static void get(int id, long type, size_t size, int flags)
{
    struct message message = {.type = -9, .text = "untouched"};
    ssize_t got = msgrcv(id, &message, size, type, flags);
    if (got < 0)
        say("get %ld: %s", type, error_name(errno));
    else
        say("get %ld: %zd bytes of type %ld '%.*s'", type, got, message.type, (int)got, message.text);
}
static void show_queue(const char *what, int id)
{
    struct msqid_ds status;
    if (msgctl(id, IPC_STAT, &status) < 0)
        say("%s: %s", what, error_name(errno));
    else
        say("%s: %lu messages, %lu of %lu bytes, mode %o", what, (unsigned long)status.msg_qnum, (unsigned long)status.__msg_cbytes,
            (unsigned long)status.msg_qbytes, status.msg_perm.mode);
}

CASE(keys_and_status)
{
    key_t key = (key_t)((unsigned)getpid() ^ 0x51000000);
    SHOW(msgget(key, 0600));
    int id = MUST(msgget(key, IPC_CREAT | 0620));
    SHOW(msgget(key, IPC_CREAT | IPC_EXCL | 0600));
    TRUE(msgget(key, 0200) == id);
    show_queue("new", id);
    struct msqid_ds status;
    MUST(msgctl(id, IPC_STAT, &status));
    TRUE(status.msg_lspid == 0 && status.msg_lrpid == 0 && status.msg_stime == 0 && status.msg_rtime == 0);
    MUST(put(id, 1, "x", 0));
    get(id, 0, 10, 0);
    MUST(msgctl(id, IPC_STAT, &status));
    TRUE(status.msg_lspid == getpid() && status.msg_lrpid == getpid() && status.msg_stime > 1600000000 && status.msg_rtime > 1600000000);
    struct msginfo info;
    int highest = msgctl(0, MSG_INFO, (void *)&info), found = 0;
    TRUE(highest >= 0 && info.msgpool >= 1);
    TRUE(msgctl(0, IPC_INFO, (void *)&info) == highest);
    say("%d %d %d", info.msgmax, info.msgmnb, info.msgmni);
    for (int index = 0; index <= highest; index++)
        found += msgctl(index, MSG_STAT, &status) == id;
    say("found %d", found);
    SHOW(msgctl(id, 88, &status)), SHOW(msgctl(-1, IPC_STAT, &status)), SHOW(msgctl(id, IPC_STAT, (void *)1));
    SHOW(msgctl(id, IPC_RMID, NULL)), SHOW(msgctl(id, IPC_RMID, NULL)), SHOW(msgget(key, 0));
}
CASE(types)
{
    int id = MUST(msgget(IPC_PRIVATE, 0600));
    for (int index = 0; index < 6; index++) {
        char text[16];
        sprintf(text, "m%d", index);
        MUST(put(id, (long[]){3, 1, 2, 3, 5, 1}[index], text, 0));
    }
    show_queue("six", id);
    get(id, 2, 100, 0), get(id, 4, 100, IPC_NOWAIT), get(id, -4, 100, 0), get(id, -4, 100, 0), get(id, -4, 100, 0);
    get(id, 3, 100, MSG_EXCEPT), get(id, 3, 100, MSG_EXCEPT | IPC_NOWAIT), get(id, 0, 100, 0), get(id, 0, 100, IPC_NOWAIT);
    show_queue("none", id);
    MUST(put(id, LONG_MAX, "far", 0));
    get(id, LONG_MIN, 100, IPC_NOWAIT);
    SHOW(msgctl(id, IPC_RMID, NULL));
}
CASE(sizes_and_errors)
{
    int id = MUST(msgget(IPC_PRIVATE, 0600));
    static struct message message;
    SHOW(put(id, 0, "x", 0)), SHOW(put(id, -1, "x", 0)), SHOW(put(-1, 1, "x", 0));
    message.type = 1;
    SHOW(msgsnd(id, &message, 8193, 0)), SHOW(msgsnd(id, &message, -1, 0)), SHOW(msgsnd(id, (void *)16, 1, 0));
    SHOW(msgsnd(id, &message, 0, 0));
    get(id, 0, 0, 0);
    SHOW(msgsnd(id, &message, 8192, 0)), SHOW(msgsnd(id, &message, 8192, 0));
    show_queue("full", id);
    SHOW(msgsnd(id, &message, 1, IPC_NOWAIT)), SHOW(msgsnd(id, &message, 0, IPC_NOWAIT));
    show_queue("an empty one more", id);
    get(id, 0, 5, IPC_NOWAIT);
    SHOW(msgrcv(id, &message, 5, 0, MSG_NOERROR)), SHOW(msgrcv(id, &message, 9000, 0, 0)), SHOW(msgrcv(id, &message, 9000, 0, 0));
    SHOW(msgrcv(id, &message, -1, 0, 0)), SHOW(msgrcv(-1, &message, 1, 0, 0));
    MUST(put(id, 1, "lost", 0));
    SHOW(msgrcv(id, (void *)16, 100, 0, 0));
    show_queue("a fault loses it", id);
    struct msqid_ds status;
    MUST(msgctl(id, IPC_STAT, &status));
    status.msg_qbytes = 10, status.msg_perm.mode = 0640;
    SHOW(msgctl(id, IPC_SET, &status));
    SHOW(put(id, 1, "123456789", IPC_NOWAIT)), SHOW(put(id, 1, "", IPC_NOWAIT));
    show_queue("small", id);
    SHOW(msgctl(id, IPC_RMID, NULL)), SHOW(put(id, 1, "x", 0)), SHOW(msgrcv(id, &message, 1, 0, 0));
}
CASE(waiting_for_messages)
{
    int id = MUST(msgget(IPC_PRIVATE, 0600)), fds[2];
    char byte;
    MUST(pipe(fds));
    pid_t children[3];
    for (int index = 0; index < 3; index++)
        if ((children[index] = fork()) == 0) {
            static const long wanted[] = {7, -3, 0};
            MUST(write(fds[1], "r", 1));
            get(id, wanted[index], 100, 0);
            _exit(0);
        } else {
            MUST(read(fds[0], &byte, 1));
            sleep_ms(30);
        }
    MUST(put(id, 7, "seven", 0));
    wait_for("of type 7", children[0]);
    MUST(put(id, 9, "nine", 0));
    wait_for("of any type", children[2]);
    MUST(put(id, 2, "two", 0));
    wait_for("up to 3", children[1]);
    show_queue("nothing is left", id);
    pid_t child = fork();
    if (child == 0) {
        get(id, 1, 3, 0);
        _exit(0);
    }
    sleep_ms(30);
    MUST(put(id, 1, "too long", 0));
    wait_for("too small", child);
    show_queue("the message stays", id);
    child = fork();
    if (child == 0) {
        get(id, 5, 3, 0);
        _exit(0);
    }
    sleep_ms(30);
    MUST(msgctl(id, IPC_RMID, NULL));
    wait_for("removed", child);
}
CASE(waiting_for_room)
{
    int id = MUST(msgget(IPC_PRIVATE, 0600));
    static struct message message = {.type = 1};
    MUST(msgsnd(id, &message, 8192, 0)), MUST(msgsnd(id, &message, 8192, 0));
    pid_t child = fork();
    if (child == 0) {
        _exit(put(id, 2, "waited", 0) ? errno : 0);
    }
    sleep_ms(30);
    show_queue("full", id);
    SHOW(msgrcv(id, &message, 9000, 1, 0));
    wait_for("sender", child);
    get(id, 2, 100, 0);
    message.type = 1;
    MUST(msgsnd(id, &message, 8192, 0));
    child = fork();
    if (child == 0) {
        _exit(put(id, 2, "never sent", 0) && errno == EIDRM ? 43 : 0);
    }
    sleep_ms(30);
    MUST(msgctl(id, IPC_RMID, NULL));
    wait_for("removed", child);
}
static void nothing(int number)
{
}
CASE(signals_interrupt)
{
    int id = MUST(msgget(IPC_PRIVATE, 0600));
    static struct message message = {.type = 1};
    struct sigaction action = {.sa_handler = nothing, .sa_flags = SA_RESTART};
    MUST(sigaction(SIGALRM, &action, NULL));
    struct itimerval timer = {.it_value = {0, 30000}};
    MUST(setitimer(ITIMER_REAL, &timer, NULL));
    SHOW(msgrcv(id, &message, 10, 0, 0));
    message.type = 1;
    MUST(msgsnd(id, &message, 8192, 0)), MUST(msgsnd(id, &message, 8192, 0));
    MUST(setitimer(ITIMER_REAL, &timer, NULL));
    SHOW(msgsnd(id, &message, 1, 0));
    show_queue("still two", id);
    SHOW(msgctl(id, IPC_RMID, NULL));
}
CASE(many_to_many)
{
    int id = MUST(msgget(IPC_PRIVATE, 0600));
    for (int producer = 0; producer < 3; producer++)
        if (fork() == 0) {
            struct message message = {.type = producer + 1};
            for (int round = 0; round < 200; round++) {
                memcpy(message.text, &round, sizeof round);
                MUST(msgsnd(id, &message, 500, 0));
            }
            _exit(0);
        }
    int next[3] = {0}, wrong = 0;
    for (int round = 0; round < 600; round++) {
        struct message message;
        MUST(msgrcv(id, &message, sizeof message.text, 0, 0));
        int number;
        memcpy(&number, message.text, sizeof number);
        wrong += number != next[message.type - 1]++;
    }
    say("%d %d %d, %d out of order", next[0], next[1], next[2], wrong);
    while (wait(NULL) > 0)
        ;
    show_queue("empty", id);
    SHOW(msgctl(id, IPC_RMID, NULL));
}
