/* executor_work.h - what an executor takes: internal to the runtime. Any thread. */
#ifndef RUNTIME_EXECUTOR_WORK_H
#define RUNTIME_EXECUTOR_WORK_H

#include "common/err.h"

struct executor;

struct executor_work { /* embedded in what it belongs to; the executor's from submit until run */
    struct executor_work *next;
    void (*run)(struct executor_work *w); /* on a thread of the pool, once */
};

/* 0; ERROR_RUNTIME after a shutdown; -EAGAIN: not one thread can be started. Any thread. */
int executor_submit(struct executor *x, struct executor_work *w, struct err *e);
/* Shuts x down without waiting; w runs behind all jobs, on the last thread to leave: on the calling
 * one where none is left. Borrows x. Any thread. */
void executor_end(struct executor *x, struct executor_work *w);

#endif
