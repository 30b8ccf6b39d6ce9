/* desk.h - the master's side of one worker, for the tests of it: jobs are submitted, and come back
 * by a mailbox. Who includes it has defined `queues` and `conf` before. Runs on: the test's thread.
 * Standard output goes to a file meanwhile. */
#ifndef TESTS_UNIT_DESK_H
#define TESTS_UNIT_DESK_H

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/clock.h"
#include "common/conf.h"
#include "common/mailbox.h"
#include "worker/worker.h"

#define FOREVER "1000000000"

extern struct conf_queue queues[];
extern struct conf conf;

struct desk { /* the master's side */
    struct worker *worker;
    struct mailbox results;
    sem_t woken;
    _Atomic int64_t start_until;
    struct mail *mail; /* taken, not looked at */
    int saved, sink;   /* standard output */
};

static void wake(void *arg)
{
    (void)sem_post(arg);
}

static int begin(void **state)
{
    char name[] = "/tmp/rpopd-worker.XXXXXX";
    struct desk *d = calloc(1, sizeof *d);
    *state = d;
    if (!d || sem_init(&d->woken, 0, 0) < 0)
        return -1;
    mailbox_init(&d->results, wake, &d->woken);
    atomic_init(&d->start_until, INT64_MAX);
    d->saved = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    d->sink = mkostemp(name, O_CLOEXEC | O_APPEND);
    if (d->saved < 0 || d->sink < 0 || unlink(name) < 0 || dup2(d->sink, STDOUT_FILENO) < 0)
        return -1;
    d->worker = worker_new(&conf, 3, &d->results, NULL);
    return d->worker ? 0 : -1;
}

static int end(void **state)
{
    struct desk *d = *state;
    d->worker = worker_free(d->worker);
    (void)dup2(d->saved, STDOUT_FILENO);
    (void)close(d->saved);
    (void)close(d->sink);
    (void)sem_destroy(&d->woken);
    free(d);
    return 0;
}

static struct job *a_job(struct desk *d, int queue, const char *payload)
{
    struct job *j = job_new(&queues[queue], payload, strlen(payload));
    if (!j)
        return NULL;
    j->birth = "e.1-1";
    j->start_until = &d->start_until;
    return j;
}

static struct job *submit(struct desk *d, int queue, const char *payload)
{
    struct job *j = a_job(d, queue, payload);
    assert_non_null(j);
    assert_int_equal(worker_submit(d->worker, j), 0);
    return j;
}

/* The next job that comes back; NULL after a minute without one. */
static struct job *next_back(struct desk *d)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 60;
    while (!d->mail && !(d->mail = mailbox_take(&d->results)))
        if (sem_timedwait(&d->woken, &until) < 0 && errno == ETIMEDOUT)
            return NULL;
    struct job *j = (struct job *)d->mail; /* its first member */
    d->mail = d->mail->next;
    return j;
}

#endif
