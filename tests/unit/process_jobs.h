/* process_jobs.h - what the tests of process pools share: functions for the children, doors that
 * calls wait behind, looks at descriptors and processes. Include once, after nothing: it brings
 * cmocka. table of functions begins with COMMON_FUNCTIONS. */
#ifndef TESTS_UNIT_PROCESS_JOBS_H
#define TESTS_UNIT_PROCESS_JOBS_H

#include "tests/unit/combine.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "worker/runtime/process_frame.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])
#define LIMIT_MS 30000

/* -- in a child -- */
#define CHILD_FUNCTION(name) \
    static int name(const void *arg, size_t len, void **ret_result, size_t *ret_len, struct err *e)

static int give(const void *from, size_t len, void **ret_result, size_t *ret_len)
{
    void *to = len > 0 ? malloc(len) : NULL;
    if (len > 0 && !to)
        return -ENOMEM;
    if (len > 0)
        memcpy(to, from, len);
    *ret_result = to;
    *ret_len = len;
    return 0;
}

CHILD_FUNCTION(echo)
{
    (void)e;
    return give(arg, len, ret_result, ret_len);
}

CHILD_FUNCTION(bump) /* the number of this call in this child */
{
    static int64_t calls;
    (void)arg, (void)len, (void)e;
    calls++;
    return give(&calls, sizeof calls, ret_result, ret_len);
}

static int give_pid(void **ret_result, size_t *ret_len)
{
    int64_t pid = getpid();
    return give(&pid, sizeof pid, ret_result, ret_len);
}

CHILD_FUNCTION(say_pid)
{
    (void)arg, (void)len, (void)e;
    return give_pid(ret_result, ret_len);
}

struct way { /* how a child gets to the parent's ends of a door */
    char told[32], open[32];
};

CHILD_FUNCTION(through)
{
    const struct way *w = arg;
    int64_t pid = getpid();
    char key;
    (void)len;
    int fd = open(w->told, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, &pid, sizeof pid) != sizeof pid)
        return err_set(e, -errno, "%s cannot be written", w->told);
    (void)close(fd);
    fd = open(w->open, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || read(fd, &key, 1) < 0)
        return err_set(e, -errno, "%s cannot be read", w->open);
    (void)close(fd);
    return give_pid(ret_result, ret_len);
}

CHILD_FUNCTION(fail_here)
{
    (void)arg, (void)len, (void)ret_result, (void)ret_len;
    return err_set(e, -EINVAL, "in child");
}

/* Numbers of the open descriptors; the one that lists them is not among them. */
static size_t open_descriptors(int64_t *fds, size_t room)
{
    size_t n = 0;
    DIR *d = opendir("/proc/self/fd");
    for (struct dirent *x = d ? readdir(d) : NULL; x; x = readdir(d)) {
        int fd = x->d_name[0] == '.' ? -1 : (int)strtol(x->d_name, NULL, 10);
        if (fd >= 0 && fd != dirfd(d) && n < room)
            fds[n++] = fd;
    }
    if (d)
        (void)closedir(d);
    return n;
}

#define COMMON_FUNCTIONS                                                    \
    {"echo", echo}, {"bump", bump}, {"pid", say_pid}, {"through", through}, \
    {                                                                       \
        "fail", fail_here                                                   \
    }

/* -- doors: a call tells its process, and waits until it may end -- */
struct door {
    int told[2], open[2];
    struct way way;
};

static UNUSED void door_init(struct door *d)
{
    (void)pipe2(d->told, O_CLOEXEC);
    (void)pipe2(d->open, O_CLOEXEC);
    (void)snprintf(d->way.told, sizeof d->way.told, "/proc/%d/fd/%d", getpid(), d->told[1]);
    (void)snprintf(d->way.open, sizeof d->way.open, "/proc/%d/fd/%d", getpid(), d->open[0]);
}

static UNUSED void door_deinit(struct door *d)
{
    for (int i = 0; i < 2; i++) {
        (void)close(d->told[i]);
        (void)close(d->open[i]);
    }
}

/* Blocks until a call has come to the door: its process. */
static UNUSED pid_t begun(const struct door *d)
{
    int64_t pid = -1;
    ssize_t n;
    do {
        n = read(d->told[0], &pid, sizeof pid);
    } while (n < 0 && errno == EINTR);
    return (pid_t)pid;
}

static UNUSED void open_door(const struct door *d) /* for one call */
{
    (void)write(d->open[1], "k", 1);
}

/* -- calls -- */
static UNUSED struct future *call(struct executor *x, const char *name)
{
    return run_in_process(x, name, NULL, 0, NULL);
}

static UNUSED struct future *call_through(struct executor *x, const struct door *d)
{
    return run_in_process(x, "through", &d->way, sizeof d->way, NULL);
}

/* Awaits f and drops it: 0 and the number in its result, or its code. */
static UNUSED int end_of(struct future *f, int64_t *ret_number, struct err *e)
{
    void *v = NULL;
    int r = f ? future_await(f, &v, e) : -errno;
    const struct process_bytes *b = v;
    if (r == 0 && ret_number && b->len == sizeof *ret_number)
        memcpy(ret_number, b->data, sizeof *ret_number);
    future_unref(f);
    return r;
}

static UNUSED int64_t number_of(struct future *f)
{
    int64_t n = -1;
    int r = end_of(f, &n, NULL);
    return r < 0 ? r : n;
}

static UNUSED void close_pool(struct executor *x)
{
    executor_shutdown(x, true, false);
    executor_unref(x);
}

/* -- looks -- */
static UNUSED size_t descriptors_here(void)
{
    int64_t fds[256];
    return open_descriptors(fds, COUNT(fds));
}

/* Nobody has that number any more: it has ended, and was reaped. */
static UNUSED bool is_gone(int64_t pid)
{
    return pid > 0 && kill((pid_t)pid, 0) < 0 && errno == ESRCH;
}

/* Kills it and waits until it has ended, without reaping it. */
static UNUSED void kill_and_wait(pid_t pid)
{
    struct pollfd end = {.fd = pidfd_open(pid, 0), .events = POLLIN};
    (void)kill(pid, SIGKILL);
    (void)poll(&end, 1, LIMIT_MS);
    (void)close(end.fd);
}

#endif
