/* executor_jobs.h - what the tests of executors share: jobs, and pools that are closed. Include
 * once, after nothing: it brings cmocka. */
#ifndef TESTS_UNIT_EXECUTOR_JOBS_H
#define TESTS_UNIT_EXECUTOR_JOBS_H

#include "tests/unit/combine.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "worker/runtime/executor.h"
#include "worker/runtime/executor_work.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

static UNUSED void close_pool(struct executor *x)
{
    executor_shutdown(x, true, false);
    executor_unref(x);
}

static UNUSED int end_of(struct future *f, void **ret_result, struct err *e)
{
    int r = f ? future_await(f, ret_result, e) : -errno;
    future_unref(f);
    return r;
}

/* -- jobs -- */
static UNUSED int answer(void *arg, void **ret_result, struct err *e)
{
    (void)e;
    *ret_result = arg;
    return 0;
}

struct door { /* a job that waits behind it */
    sem_t begun, open;
    atomic_int ended;
};

static UNUSED void door_init(struct door *d)
{
    (void)sem_init(&d->begun, 0, 0);
    (void)sem_init(&d->open, 0, 0);
    atomic_init(&d->ended, 0);
}

static UNUSED void pass(sem_t *s)
{
    while (sem_wait(s) < 0)
        ;
}

static UNUSED int through(void *arg, void **ret_result, struct err *e)
{
    struct door *d = arg;
    (void)e;
    (void)sem_post(&d->begun);
    pass(&d->open);
    atomic_fetch_add(&d->ended, 1);
    *ret_result = BOX(7);
    return 0;
}

#endif
