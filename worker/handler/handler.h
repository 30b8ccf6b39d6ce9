/* handler.h - what a job can do: one table entry a type.
 * Runs on: the worker's loop thread, but for `check`. `run` is a coroutine: it may await and may
 * spend minutes; the others never await. Errors: init returns 0 or a negative errno with a
 * sentence, and the daemon does not start; run returns an outcome and, for every outcome but
 * JOB_DONE, a sentence in *why. With JOB_RETRY and JOB_DEAD it may leave evidence in the job
 * (j->evidence, job_output), with JOB_RETRY also j->delay_ms, with JOB_DONE a result
 * (job_wants_result). Ownership: the job is borrowed for the time of the call. */
#ifndef WORKER_HANDLER_HANDLER_H
#define WORKER_HANDLER_HANDLER_H

#include "common/conf.h"
#include "common/err.h"
#include "common/job.h"
#include "common/thread.h"

struct handler {
    const char *type; /* as in handler.type */
    /* What the table of settings cannot tell: 0, -ENOMEM, or -EINVAL with `handler.name: what is
     * wrong, what is allowed`. Any thread, also where nothing will run (rpopd -t). NULL: nothing.
     */
    int (*check)(const struct conf_queue *queue, struct err *e);
    /* Once a worker and queue, before its first job: *ret_state is handed to run and exit. NULL: no
     * state. */
    int (*init)(const struct conf_queue *queue, void **ret_state, struct err *e);
    /* A cancelled await is passed on as JOB_CANCELLED, behind what is to be cleaned up, which may
     * await: the task is cancelled once, and a second time where the daemon ends at once
     * (j->at_once): then what it started is killed without grace. */
    enum job_outcome (*run)(struct job *j, void *state, struct err *why);
    void (*exit)(void *state); /* after its last job. NULL: nothing to do */
};

/* The daemon ends at once: exit kills what it ends. Set by the master, and for good; any thread. */
extern atomic_bool handler_at_once;

extern const struct handler handler_sleep, handler_null, handler_exec, handler_http, handler_pool,
    handler_plugin;

/* Any thread. Borrowed for ever; NULL where there is no such type. */
const struct handler *handler_find(const char *type);

#endif
