#include "worker/handler/pool_member.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/callout.h"
#include "common/clock.h"
#include "worker/handler/handler.h"
#include "worker/runtime/io.h"

#define MOMENT_MS 1000 /* at the end of the daemon */

/* ---- starting ---- */

struct marking {
    struct pool_member *member;
    char *queue; /* NULL: no memory */
    const char *name;
};

static void write_marks(void *arg)
{
    static _Atomic unsigned count;
    struct marking *m = arg;
    (void)snprintf(m->member->mark, sizeof m->member->mark, "RPOPD_CHILD=%d-%lld-%u", getpid(),
                   (long long)clock_now_ns(), atomic_fetch_add(&count, 1));
    if (asprintf(&m->queue, "RPOPD_QUEUE=%s", m->name) < 0)
        m->queue = NULL;
}

static void take_pipes(struct pool_member *m)
{
    struct process *p = running_process(m->running);
    m->pid = process_pid(p);
    m->pipes = (struct pool_talk){.in = process_take_pipe(p, STDIN_FILENO),
                                  .out = process_take_pipe(p, STDOUT_FILENO),
                                  .err = process_take_pipe(p, STDERR_FILENO),
                                  .pidfd = process_pidfd(p)};
}

static int start(struct pool_member *m, struct program *p, const char *queue, struct err *e)
{
    struct marking names = {.member = m, .name = queue};
    callout(write_marks, &names);
    if (!names.queue)
        return err_set(e, -ENOMEM, "no memory to start a child");
    const char *const env[] = {m->mark, names.queue, NULL};
    int r = running_start(p, env, PROCESS_STDIN | PROCESS_STDOUT | PROCESS_STDERR, false,
                          &m->running, e);
    free(names.queue);
    return r;
}

int pool_member_start(struct program *p, const struct conf_queue *queue,
                      struct pool_member **ret_member, struct err *e)
{
    struct pool_member *m = calloc(1, sizeof *m);
    if (!m)
        return err_set(e, -ENOMEM, "no memory to start a child");
    int r = start(m, p, queue->name, e);
    if (r < 0) {
        free(m);
        return r;
    }
    take_pipes(m);
    *ret_member = m;
    return 0;
}

/* ---- from loop to loop ---- */

void pool_member_leave(struct pool_member *m)
{
    running_leave(m->running);
}

int pool_member_join(struct pool_member *m, struct program *p, struct err *e)
{
    return running_join(m->running, p, e);
}

/* ---- its size ---- */

struct sizing {
    pid_t pid;
    int64_t bytes;
};

/* man 5 proc: the second number in statm is the resident pages. */
static void read_size(void *arg)
{
    struct sizing *s = arg;
    char text[128];
    long long pages;
    (void)snprintf(text, sizeof text, "/proc/%d/statm", s->pid);
    int fd = open(text, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        (void)close(fd);
    text[n < 0 ? 0 : n] = '\0';
    s->bytes = sscanf(text, "%*d %lld", &pages) == 1 ? pages * sysconf(_SC_PAGESIZE) : -1;
}

int64_t pool_member_rss(const struct pool_member *m)
{
    struct sizing s = {.pid = m->pid};
    callout(read_size, &s);
    return s.bytes;
}

/* ---- its end ---- */

int pool_member_end(struct pool_member *m, int64_t patience_ms, const atomic_bool *at_once,
                    bool *ret_own)
{
    struct loop *l = loop_running();
    io_close(l, m->pipes.in);
    (void)pool_talk_listen(&m->pipes, NULL); /* else a full pipe could keep it from leaving */
    *ret_own = running_await_end(m->running, clock_now_ms() + patience_ms, NULL) == 0;
    int status = running_end(m->running, at_once);
    pool_talk_drain(&m->pipes);
    io_close(l, m->pipes.out);
    io_close(l, m->pipes.err);
    (void)running_free(m->running);
    free(m);
    return status;
}

void pool_member_dismiss(struct pool_member *m)
{
    (void)close(m->pipes.in);
    m->pipes.in = -1;
}

void pool_member_free(struct pool_member *m)
{
    if (m->pipes.in >= 0)
        (void)close(m->pipes.in);
    (void)close(m->pipes.out);
    (void)close(m->pipes.err);
    (void)running_free(m->running); /* KILL */
    free(m);
}

static void await_all(const struct pool_member *m, int64_t by_ms)
{
    for (; m; m = m->next) {
        struct pollfd end = {.fd = m->pipes.pidfd, .events = POLLIN};
        int64_t left = by_ms - clock_now_ms();
        (void)poll(&end, 1, left > 0 ? (int)left : 0);
    }
}

static void signal_all(const struct pool_member *m, int signal)
{
    for (; m; m = m->next)
        running_signal(m->running, signal);
}

void pool_member_end_all(struct pool_member *first)
{
    if (!atomic_load(&handler_at_once)) {
        await_all(first, clock_now_ms() + MOMENT_MS);
        signal_all(first, SIGTERM); /* what they have started, too */
        await_all(first, clock_now_ms() + MOMENT_MS);
    }
    for (struct pool_member *m; (m = first);) {
        first = m->next;
        pool_member_free(m);
    }
}
