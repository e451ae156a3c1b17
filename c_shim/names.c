/* The published names: what the executive has answered about a path and will answer again until it withdraws it.
 *
 * Four tables, all of fixed size, filled and emptied by the executive (pylibos/emulation/fs/published.py), which owns every rule
 * about what may stand in them and when it must go:
 *   tasks    host tid -> which tables of names, current directory and identity the task has now
 *   names    (table, directory, text of the path) -> the record of a file, or 0: the name is missing
 *   records  one file: struct stat, struct statx, verdicts of access, text of a link, a descriptor to open it by; each part is there or not
 *   contents (device, inode) on the host -> the record of the file whose content that is, for calls that name a descriptor
 * A call is answered only when all it needs is there; everything else goes to Python as if this file did not exist. Which argument
 * of which call is what is a table of the loop's. Bounded: a new entry takes the place of an old one; nothing is allocated.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "shim.h"

#define TASKS 1024
#define SETS 2048
#define WAYS 4
#define PATH_ROOM 220
#define RECORDS 4096
#define LINK_ROOM 120
#define CONTENTS 4096
#define MAY_READ 12 /* index of the verdict an open for reading needs: R_OK by the effective ids */

struct task {
    int tid;
    uint32_t table[2]; /* not following, following a final link */
    uint32_t directory, identity;
    uint64_t changes; /* what *changes_made was when this was written */
};

struct name {
    uint64_t record; /* 0: missing */
    uint32_t table, directory, generation;
    uint16_t size;
    char path[PATH_ROOM];
};

struct record {
    uint64_t number;
    uint8_t has_stat, has_statx;
    int16_t link; /* 0 not known, < 0 -errno, else bytes of text */
    int source;   /* 1 + a descriptor of ours whose file an open for reading opens anew; 0 none */
    uint32_t identity;
    uint8_t verdict[16]; /* 0 not known, 1 granted, else errno; index: mode, + 8 by the effective ids */
    uint8_t stat[144], statx[256];
    char text[LINK_ROOM];
};

static struct task tasks[TASKS];
static struct name names[SETS][WAYS];
static struct record records[RECORDS];
static struct {
    uint64_t device, inode, record;
} contents[CONTENTS];
static uint32_t generation = 1;
static unsigned next_way;
static const uint64_t *changes_made;

/* changes: counts whatever may change a task's root, directory or credentials. NULL: forget everything and answer nothing. */
void shim_names_open(const uint64_t *changes)
{
    if (changes_made) { /* not at the first use: untouched pages cost nothing */
        generation++;
        memset(tasks, 0, sizeof tasks);
        memset(records, 0, sizeof records);
        memset(contents, 0, sizeof contents);
    }
    changes_made = changes;
}

void shim_names_clear(void) { generation++; }

void shim_names_task(int tid, uint32_t not_following, uint32_t following, uint32_t directory, uint32_t identity)
{
    if (changes_made)
        tasks[tid % TASKS] = (struct task){tid, {not_following, following}, directory, identity, *changes_made};
}

/* The number is another task's from now on. */
void shim_names_task_new(int tid)
{
    if (tasks[tid % TASKS].tid == tid)
        tasks[tid % TASKS].tid = 0;
}

static struct name *set_of(uint32_t table, uint32_t directory, const char *path, uint64_t size)
{
    uint64_t hash = (((uint64_t)table << 32) ^ directory ^ (size << 20)) * 0x9e3779b97f4a7c15ULL, part;
    for (; size >= 8; path += 8, size -= 8) {
        memcpy(&part, path, 8);
        hash = (hash ^ part) * 0x9e3779b97f4a7c15ULL;
        hash ^= hash >> 32;
    }
    part = 0;
    memcpy(&part, path, size);
    hash = (hash ^ part) * 0x9e3779b97f4a7c15ULL;
    return names[(hash ^ (hash >> 29)) >> 32 & (SETS - 1)];
}

static struct name *find(uint32_t table, uint32_t directory, const char *path, uint64_t size)
{
    struct name *set;
    if (size > PATH_ROOM)
        return NULL;
    set = set_of(table, directory, path, size);
    for (struct name *name = set; name < set + WAYS; name++)
        if (name->generation == generation && name->size == size && name->table == table && name->directory == directory &&
            !memcmp(name->path, path, size))
            return name;
    return NULL;
}

/* record: a record's number, or 0 for a name that is missing. */
void shim_names_publish(uint32_t table, uint32_t directory, const char *path, uint64_t size, uint64_t record)
{
    struct name *name = find(table, directory, path, size);
    if (size > PATH_ROOM)
        return;
    if (!name) {
        struct name *set = set_of(table, directory, path, size);
        for (name = set; name < set + WAYS && name->generation == generation; name++)
            ;
        if (name == set + WAYS)
            name = set + next_way++ % WAYS;
    }
    name->record = record;
    name->table = table;
    name->directory = directory;
    name->generation = generation;
    name->size = (uint16_t)size;
    memcpy(name->path, path, size);
}

void shim_names_forget(uint32_t table, uint32_t directory, const char *path, uint64_t size)
{
    struct name *name = find(table, directory, path, size);
    if (name)
        name->generation = 0;
}

/* The record to be filled; an older file's may have stood in its place. */
static struct record *record_for(uint64_t number)
{
    struct record *record = &records[number % RECORDS];
    if (record->number != number) {
        memset(record, 0, offsetof(struct record, stat));
        record->number = number;
    }
    return record;
}

void shim_names_stat(uint64_t number, const char *stat144)
{
    struct record *record = record_for(number);
    memcpy(record->stat, stat144, sizeof record->stat);
    record->has_stat = 1;
}

void shim_names_statx(uint64_t number, const char *statx256)
{
    struct record *record = record_for(number);
    memcpy(record->statx, statx256, sizeof record->statx);
    record->has_statx = 1;
}

/* What access says to this identity: index 0..7 the mode, 8..15 the mode by the effective ids; verdict 1 granted, else an errno. */
void shim_names_verdict(uint64_t number, uint32_t identity, unsigned index, int verdict)
{
    struct record *record = record_for(number);
    if (record->identity != identity) {
        memset(record->verdict, 0, sizeof record->verdict);
        record->identity = identity;
    }
    record->verdict[index & 15] = (uint8_t)verdict;
}

/* What readlink says: -errno, or the text and its size. */
void shim_names_link(uint64_t number, const char *text, int64_t size)
{
    struct record *record = record_for(number);
    record->link = size <= LINK_ROOM ? (int16_t)size : 0;
    if (record->link > 0)
        memcpy(record->text, text, (size_t)size);
}

/* The descriptor stays open until the record is withdrawn. */
void shim_names_source(uint64_t number, int descriptor) { record_for(number)->source = descriptor + 1; }

static unsigned content_slot(uint64_t device, uint64_t inode) { return (unsigned)((inode ^ device * 31) % CONTENTS); }

/* A descriptor of this file of the host's is one of the file with that record. */
void shim_names_content(uint64_t device, uint64_t inode, uint64_t number)
{
    unsigned slot = content_slot(device, inode);
    contents[slot].device = device;
    contents[slot].inode = inode;
    contents[slot].record = number;
}

void shim_names_withdraw(uint64_t number)
{
    struct record *record = &records[number % RECORDS];
    if (record->number == number)
        memset(record, 0, offsetof(struct record, stat));
}

static int64_t copy_out(int tid, uint64_t address, const void *data, uint64_t size)
{
    return shim_write(tid, address, data, size) == (int64_t)size ? 0 : -EFAULT;
}

/* Open a file for reading: 2 when the caller has its answer, 0 when Python must. For a test *value is the new descriptor, our own. */
static int answer_open(struct shim_loop *loop, uint64_t id, const struct shim_names_call *call, const struct record *record, int tid,
                       const uint64_t *argument, int64_t *value)
{
    uint32_t flags = (uint32_t)argument[call->flags];
    char path[32];
    if (!record->source || flags & ~call->plain || record->identity != tasks[tid % TASKS].identity || record->verdict[MAY_READ] != 1)
        return 0;
    snprintf(path, sizeof path, "/proc/self/fd/%d", record->source - 1);
    int descriptor = open(path, O_RDONLY | O_NOCTTY | O_CLOEXEC | (int)(flags & O_NONBLOCK));
    if (descriptor < 0)
        return 0;
    *value = descriptor;
    if (!id)
        return 1;
    *value = shim_install(loop, id, descriptor, (flags & O_CLOEXEC) != 0, 0);
    close(descriptor); /* before the answer: whoever is woken runs where we do, as soon as we sleep */
    shim_reply(loop, id, *value, 0);
    return 2;
}

/* The answer about a file that is there: 1 and *value; 2 when it has been given; 0 when a part is not known. id: the notification, whose
 * caller must still wait when its memory is written (0: nobody waits, a test asks). */
static int answer_record(struct shim_loop *loop, uint64_t id, const struct shim_names_call *call, const struct record *record, int tid,
                         const uint64_t *argument, int64_t *value)
{
    uint64_t output = argument[call->output];
    switch (call->kind) {
    case NAMES_STAT:
    case NAMES_STATX:
        if (!(call->kind == NAMES_STAT ? record->has_stat : record->has_statx) || !shim_is_waiting(loop, id))
            return 0;
        *value = call->kind == NAMES_STAT ? copy_out(tid, output, record->stat, sizeof record->stat)
                                          : copy_out(tid, output, record->statx, sizeof record->statx);
        return 1;
    case NAMES_ACCESS: {
        unsigned index = (unsigned)output | (call->has_flags && argument[call->flags] & call->effective ? 8 : 0);
        if (record->identity != tasks[tid % TASKS].identity || !record->verdict[index])
            return 0;
        *value = record->verdict[index] == 1 ? 0 : -(int64_t)record->verdict[index];
        return 1;
    }
    case NAMES_LINK: {
        int size = (int)argument[call->size];
        if (!record->link || (record->link > 0 && !shim_is_waiting(loop, id)))
            return 0;
        *value = record->link < size ? record->link : size;
        if (*value > 0 && copy_out(tid, output, record->text, (uint64_t)*value))
            *value = -EFAULT;
        return 1;
    }
    case NAMES_OPEN: return answer_open(loop, id, call, record, tid, argument, value);
    default: return 0;
    }
}

/* Whether the arguments besides the path are of the usual kind: others have errors of their own, in an order that Python knows. */
static int is_usual(const struct shim_names_call *call, const uint64_t *argument)
{
    if (call->has_flags && (uint32_t)argument[call->flags] & ~call->flags_allowed)
        return 0;
    if (call->must_be_zero && (uint32_t)argument[call->checked] & call->must_be_zero)
        return 0;
    return call->kind != NAMES_LINK || (int)argument[call->size] > 0;
}

/* The answer about a descriptor's file. What the descriptor is has to be asked of the host: Python is spared asking again. */
static int answer_descriptor(struct shim_loop *loop, uint64_t id, const struct shim_names_call *call, int tid, const uint64_t *argument,
                             int64_t *value)
{
    uint64_t found[13];
    int descriptor = (int)argument[call->directory];
    if (descriptor < 0 || shim_descriptor_record(tid, descriptor, found))
        return 0;
    unsigned slot = content_slot(found[0], found[1]);
    if (contents[slot].device == found[0] && contents[slot].inode == found[1]) {
        const struct record *record = &records[contents[slot].record % RECORDS];
        if (contents[slot].record && record->number == contents[slot].record && answer_record(loop, id, call, record, tid, argument, value))
            return 1;
    }
    shim_descriptor_keep(tid, descriptor, found);
    return 0;
}

/* Answer a call whose path, if it has one, has been copied (size NO_PATH: it has none): 1 and *value; 2 when the caller has its answer
 * already; 0 when Python must. A missing name is -ENOENT to all of them. */
int shim_names_answer(struct shim_loop *loop, uint64_t id, int tid, uint64_t number, const uint64_t *argument, const char *path, uint64_t size,
                      int64_t *value)
{
    const struct shim_names_call *call = &loop->names[number];
    const struct task *task = &tasks[tid % TASKS];
    if (call->kind == NAMES_NONE || !changes_made || !is_usual(call, argument))
        return 0;
    if (call->by_descriptor || (!size && call->empty_path && argument[call->flags] & call->empty_path))
        return answer_descriptor(loop, id, call, tid, argument, value);
    if (task->tid != tid || task->changes != *changes_made || !size || size == SHIM_NO_PATH)
        return 0;
    if (path[0] != '/' && call->has_directory && (int)argument[call->directory] != NAMES_CURRENT)
        return 0;
    int follow = call->follow && !(call->has_flags && argument[call->flags] & call->no_follow);
    const struct name *name = find(task->table[follow], path[0] == '/' ? 0 : task->directory, path, size);
    if (!name)
        return 0;
    if (!name->record) {
        *value = -ENOENT;
        return 1;
    }
    const struct record *record = &records[name->record % RECORDS];
    return record->number == name->record && answer_record(loop, id, call, record, tid, argument, value);
}
