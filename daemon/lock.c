#include "daemon/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define RUNS_MAX 4096 /* a file that is longer was not written by us: its newest runs count */

#define NOTE_MAX 160

struct lock {
    int fd, note_fd;
    char note[NOTE_MAX]; /* <run> <birth>-<index>, or "" */
    char run[RUN_MAX];
    char (*dead)[RUN_MAX];
    size_t ndead;
};

static uint64_t hash_of(const char *text)
{
    uint64_t h = 14695981039346656037u; /* FNV-1a: a file name, no secret */
    for (; *text; text++)
        h = (h ^ (unsigned char)*text) * 1099511628211u;
    return h;
}

static int open_dir(const char *path, struct err *e)
{
    struct stat st;
    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        return err_set(e, -errno, "runtime_dir: cannot make '%s': %s", path, strerror(errno));
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return err_set(e, -errno, "runtime_dir: cannot open '%s': %s", path, strerror(errno));
    if (fstat(fd, &st) == 0 && st.st_uid == geteuid() && !(st.st_mode & (S_IWGRP | S_IWOTH)))
        return fd;
    (void)close(fd);
    return err_set(e, -EPERM,
                   "runtime_dir: '%s' must belong to user %ld and be writable by nobody else", path,
                   (long)geteuid());
}

static bool is_run(const char *text)
{
    return strspn(text, "0123456789abcdef") == RUN_MAX - 1 && text[RUN_MAX - 1] == '\0';
}

static int read_runs(struct lock *l)
{
    char *data = calloc(RUNS_MAX + 1, RUN_MAX), *save = NULL;
    l->dead = calloc(RUNS_MAX, RUN_MAX);
    ssize_t n = data ? pread(l->fd, data, (size_t)RUNS_MAX * RUN_MAX, 0) : -1;
    if (!l->dead || n < 0) {
        free(data);
        return l->dead && data ? -errno : -ENOMEM;
    }
    data[n] = '\0';
    for (char *line = strtok_r(data, "\n", &save); line && l->ndead < RUNS_MAX;
         line = strtok_r(NULL, "\n", &save))
        if (is_run(line))
            memcpy(l->dead[l->ndead++], line, RUN_MAX);
    free(data);
    return 0;
}

/* One write over what is there, then the end: killed in between, old runs stay behind, which are
 * dead as well. */
static int write_runs(struct lock *l)
{
    size_t size = (l->ndead + 1) * RUN_MAX;
    char *data = malloc(size);
    if (!data)
        return -ENOMEM;
    memcpy(data, l->run, RUN_MAX - 1);
    data[RUN_MAX - 1] = '\n';
    for (size_t i = 0; i < l->ndead; i++) {
        memcpy(data + (i + 1) * RUN_MAX, l->dead[i], RUN_MAX - 1);
        data[(i + 2) * RUN_MAX - 1] = '\n';
    }
    int r = 0;
    ssize_t n = pwrite(l->fd, data, size, 0);
    if (n < 0)
        r = -errno;
    else if ((size_t)n != size)
        r = -ENOSPC;
    else if (ftruncate(l->fd, (off_t)size) < 0)
        r = -errno;
    free(data);
    return r;
}

static int invent_run(struct lock *l)
{
    uint64_t bits;
    if (getrandom(&bits, sizeof bits, 0) != sizeof bits)
        return -EIO;
    (void)snprintf(l->run, sizeof l->run, "%016" PRIx64, bits);
    return 0;
}

static int open_note(struct lock *l, int dir, char *name)
{
    (void)strcpy(strrchr(name, '.'), ".note");
    l->note_fd = openat(dir, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    ssize_t n = l->note_fd < 0 ? -1 : pread(l->note_fd, l->note, sizeof l->note - 1, 0);
    if (n < 0)
        return -errno;
    l->note[n] = '\0';
    l->note[strcspn(l->note, "\n")] = '\0';
    return 0;
}

static int lock_file(struct lock *l, int dir, const char *instance, const char *database,
                     struct err *e)
{
    char name[128];
    (void)snprintf(name, sizeof name, "%s-%012" PRIx64 ".lock", instance,
                   hash_of(database) & 0xffffffffffff);
    l->fd = openat(dir, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (l->fd < 0)
        return err_set(e, -errno, "cannot open the lock file '%s': %s", name, strerror(errno));
    if (flock(l->fd, LOCK_EX | LOCK_NB) < 0)
        return err_set(e, errno == EWOULDBLOCK ? -EEXIST : -errno,
                       "instance %s is already running on this host", instance);
    int r = read_runs(l);
    if (!r)
        r = open_note(l, dir, name);
    if (!r)
        r = invent_run(l);
    if (!r)
        r = write_runs(l);
    return r ? err_set(e, r, "cannot use the lock file '%s': %s", name, strerror(-r)) : 0;
}

struct lock *lock_open(const char *runtime_dir, const char *instance, const char *database,
                       struct err *e)
{
    struct lock *l = calloc(1, sizeof *l);
    if (!l) {
        (void)err_set(e, -ENOMEM, "no memory for the lock");
        return NULL;
    }
    l->fd = l->note_fd = -1;
    int dir = open_dir(runtime_dir, e);
    if (dir < 0)
        return lock_close(l);
    int r = lock_file(l, dir, instance, database, e);
    (void)close(dir);
    return r ? lock_close(l) : l;
}

struct lock *lock_close(struct lock *l)
{
    if (!l)
        return NULL;
    if (l->fd >= 0)
        (void)close(l->fd);
    if (l->note_fd >= 0)
        (void)close(l->note_fd);
    free(l->dead);
    free(l);
    return NULL;
}

const char *lock_run(const struct lock *l)
{
    return l->run;
}

bool lock_is_own_run(const struct lock *l, const char *run, unsigned long len)
{
    if (len != RUN_MAX - 1)
        return false;
    if (memcmp(run, l->run, len) == 0)
        return true;
    for (size_t i = 0; i < l->ndead; i++)
        if (memcmp(run, l->dead[i], len) == 0)
            return true;
    return false;
}

const char *lock_note(const struct lock *l, const char *run, unsigned long len)
{
    return len == RUN_MAX - 1 && strncmp(l->note, run, len) == 0 && l->note[len] == ' '
               ? l->note + RUN_MAX
               : NULL;
}

int lock_note_fd(const struct lock *l)
{
    return l->note_fd;
}

int lock_forget_dead(struct lock *l)
{
    *l->note = '\0'; /* the file stays: a worker may crash and write its own at this very moment */
    if (!l->ndead)
        return 0;
    l->ndead = 0;
    return write_runs(l);
}
