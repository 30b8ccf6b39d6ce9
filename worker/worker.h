/* worker.h - one worker: a thread with its own coroutine event loop, one task a job.
 * Runs on: worker_stack_guard and _kill_children on any thread, the rest on the master. Never
 * awaits. Errors: negative errno. Ownership: a submitted job is the worker's until it comes back by
 * the results mailbox. */
#ifndef WORKER_WORKER_H
#define WORKER_WORKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/conf.h"
#include "common/err.h"
#include "common/job.h"
#include "common/mailbox.h"

struct worker;

/* Starts the thread and its loop and runs the handlers' init hooks; waits until that is done.
 * Gives; NULL with *e. Borrows conf and results: every job comes back there, with an outcome; those
 * that end in one turn of the loop, or within a millisecond, share a wake-up. */
struct worker *worker_new(const struct conf *conf, unsigned index, struct mailbox *results,
                          struct err *e);

/* Takes j on 0: it becomes a task on the worker's loop (run_coroutine_threadsafe). -ENOMEM: still
 * the caller's. */
int worker_submit(struct worker *w, struct job *j);

/* The task of j, which was submitted here and has not come back, is cancelled at its next step, and
 * j comes back; its reason (job_cancel) was set before. What ends by itself meanwhile comes back as
 * it ended. A task is cancelled once, where j->at_once was set before twice: its cleaning up is not
 * disturbed otherwise. */
void worker_cancel(struct worker *w, struct job *j);

/* A number that grows whenever the loop has gone round after worker_poke. */
void worker_poke(struct worker *w);
uint64_t worker_progress(const struct worker *w);

/* How the stacks of jobs are guarded on this system, for the log. Any thread. */
const char *worker_stack_guard(void);

/* From now on a thread that crashes while a job's code runs on it leaves `<run> <birth>-<index>` of
 * that job in fd (crash.h). Once a process, when all workers have started. Borrows fd. */
void worker_note_crashes(int fd, const char *run);

/* Its end begins: what still runs is cancelled, then the loop ends. */
void worker_stop(struct worker *w);
/* Behind worker_stop: waits until nothing runs any more. False at that time (clock_now_ms): a task
 * does not end, or does not let the loop go on; worker_free would wait for it. */
bool worker_ended(struct worker *w, int64_t by_ms);
/* Its loop has gone round since worker_stop. */
bool worker_moves(const struct worker *w);
/* The process ends beside a worker that does not: kills what handlers have started, each with its
 * group. Any thread. */
void worker_kill_children(void);
/* Takes: worker_stop, joins the thread. NULL is fine; returns NULL. */
struct worker *worker_free(struct worker *w);

#endif
