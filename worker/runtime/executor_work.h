/* executor_work.h - what an executor takes, and kinds of executors: internal to the runtime. Any
 * thread. */
#ifndef RUNTIME_EXECUTOR_WORK_H
#define RUNTIME_EXECUTOR_WORK_H

#include "worker/runtime/executor.h"

struct executor_work { /* embedded in what it belongs to; the executor's from submit until run */
    struct executor_work *next;
    void (*run)(struct executor_work *w); /* on a thread of the pool, once */
    /* Instead of run, on the thread that shuts the executor down and cancels what is queued. */
    void (*cancel)(struct executor_work *w);
};

/* 0; ERROR_RUNTIME after a shutdown; -EAGAIN: no thread can be started that it needs
 * (executor_new). Any thread. */
int executor_submit(struct executor *x, struct executor_work *w, struct err *e);
/* Shuts x, a pool of threads, down without waiting; w runs behind all jobs, on the last thread to
 * leave: on the calling one where none is left. Borrows x. Any thread. */
void executor_end(struct executor *x, struct executor_work *w);

struct executor_kind {        /* what differs from a pool of threads */
    void (*leave)(void *own); /* on each thread of the pool, after its last job */
    void (*free)(void *own);  /* no thread is left; any thread */
};
/* As executor_new with max_threads > 0; takes `own`, where it gives an executor. */
struct executor *executor_new_kind(unsigned max_threads, const struct executor_kind *kind,
                                   void *own);
void *executor_own(const struct executor *x, const struct executor_kind *kind); /* NULL: no such */
bool executor_has_kind(const struct executor *x); /* false: a pool of threads */

struct executor_job {
    executor_fn fn;
    void *arg;
    struct context *context; /* taken; NULL: none */
    /* NULL: the caller's affair. Once fn has run or never will; any thread. */
    void (*free_arg)(void *arg);
    void (*free_result)(void *result); /* by the future, or where it has none to go to */
};
/* Gives the future of the job on x (NULL: the loop's default executor). Takes what the job owns, on
 * failure too: then NULL with errno set and *e. On the loop's thread; l NULL: ERROR_NO_LOOP. */
struct future *executor_call(struct loop *l, struct executor *x, const struct executor_job *job,
                             struct err *e);

#endif
