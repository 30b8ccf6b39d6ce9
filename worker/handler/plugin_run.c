/* plugin_run.c - a job of a plugin: its function runs in a task or on a thread of its own, and the
 * job's task waits for it. Nothing can make it end: one that does not return within GRACE_MS of its
 * cancelling is left behind. Its slot is free and its outcome settled then; the function goes on
 * with a twin of the job, and what it returns is dropped. No more than LEFT_MAX are left behind by
 * a worker's queue: one more keeps its slot until it returns, so that stuck functions do not fill
 * the machine. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "worker/crash.h"
#include "worker/handler/plugin.h"
#include "worker/runtime/error.h"
#include "worker/runtime/wait.h"

#define GRACE_MS 3000 /* less than the daemon gives its handlers when it ends */
#define HURRY_MS 100  /* the same where it ends at once */
#define LEFT_MAX 64

/* What the function sees instead of the job, for as long as it runs; the payload is the job's. */
struct twin {
    struct rpopd_job face; /* first */
    atomic_uint refs;      /* the job's task's and the function's */
    struct err why;
    int code;
    atomic_bool begun;
};

static void twin_unref(void *twin)
{
    struct twin *t = twin;
    if (atomic_fetch_sub(&t->refs, 1) > 1)
        return;
    (void)job_free(t->face.job);
    (void)job_free(t->face.given); /* its share */
    free(t);
}

static struct twin *twin_new(struct plugin_hook *h, struct job *j)
{
    struct twin *t = calloc(1, sizeof *t);
    struct job *own = t ? plugin_job_own(h, j) : NULL;
    if (!own) {
        free(t);
        return NULL;
    }
    plugin_job_init(&t->face, h, job_share(j), &t->why);
    t->face.job = own;
    atomic_store(&t->refs, 2);
    return t;
}

/* In the task, or on the thread. */
static int twin_main(void *arg, void **ret_result, struct rpopd_error *e)
{
    struct twin *t = arg;
    struct plugin_hook *h = t->face.hook;
    (void)ret_result, (void)e;
    atomic_store(&t->begun, true);
    t->code = rpopd_job_cancelled(&t->face)
                  ? -ECANCELED
                  : h->plugin.run(&t->face, h->state, plugin_error(&t->why));
    return 0;
}

static int task_main(void *arg, void **ret_result, struct err *e)
{
    struct twin *t = arg;
    crash_job(t->face.job);
    t->face.task = task_current();
    (void)twin_main(t, ret_result, plugin_error(e));
    (void)rpopd_tasks_end(&t->face, NULL);
    twin_unref(t);
    return 0;
}

/* Gives the future of its function, which has a share of t; NULL with *why, and without the share.
 */
static struct future *begin(struct plugin_hook *h, struct job *j, struct twin *t, struct err *why)
{
    if (h->conf.handler.blocking)
        return plugin_call(h, j, twin_main, t, twin_unref, why);
    struct task *task = task_create(task_main, t, h->conf.name);
    if (task)
        return task_future(task);
    (void)error_set(why, -errno);
    twin_unref(t);
    return NULL;
}

/* A task is cancelled; a function on a thread may look whether it is. */
static void cancel(const struct plugin_hook *h, struct future *f)
{
    if (!h->conf.handler.blocking)
        (void)future_cancel(f);
}

static int await_for(struct future *f, int64_t ms)
{
    size_t done, pending;
    return future_wait(&f, 1, ms, WAIT_ALL_COMPLETED, &done, &pending, NULL);
}

/* Awaits until f is done, or it is given up. Without memory a cancelling goes to f itself: that of
 * a thread is done then, and its function goes on. */
static void await_function(const struct plugin_hook *h, struct future *f, struct job *j,
                           struct twin *t)
{
    int r = await_for(f, -1);
    if (r == 0)
        return;
    if (r != -ECANCELED)
        r = future_await(f, NULL, NULL); /* takes no memory, and gives no grace */
    if (r == 0)
        return;
    (void)job_cancel(t->face.job, atomic_load(&j->cancel));
    cancel(h, f);
    r = atomic_load(&j->at_once) ? 0 : await_for(f, GRACE_MS);
    if (r == -ECANCELED)
        cancel(h, f); /* its cleaning up is disturbed: the daemon ends at once */
    if (!future_done(f) && atomic_load(&j->at_once))
        r = await_for(f, HURRY_MS);
    bool ends = atomic_load(&j->cancel) == CANCEL_SHUTDOWN;
    if (r == 0 && !future_done(f) && !ends && h->left >= LEFT_MAX)
        (void)await_for(f, -1);
}

static enum job_outcome take_outcome(struct job *j, struct twin *t, struct err *why)
{
    struct job *own = t->face.job;
    job_result(j, own->result, own->result_len);
    own->result = NULL;
    free(j->evidence.output); /* of a run before, that found no memory */
    j->evidence = own->evidence;
    own->evidence.output = NULL;
    j->delay_ms = own->delay_ms;
    *why = t->why;
    return plugin_outcome(j, t->code, why);
}

static void has_returned(struct future *f, void *hook)
{
    struct plugin_hook *h = hook;
    (void)f;
    h->left--;
}

static enum job_outcome leave_behind(struct plugin_hook *h, struct future *f, const struct twin *t)
{
    char queue[LOG_QUOTE_MAX];
    log_warn("plugin-left-behind", "queue=%s id=%s what='its function goes on %s'",
             log_quote(h->conf.name, strlen(h->conf.name), queue), t->face.id,
             h->conf.handler.blocking ? "in its thread, nobody waits for it"
                                      : "behind its cancelling, nobody waits for it");
    if (future_add_done_callback(f, has_returned, h) == 0)
        h->left++;
    return JOB_CANCELLED;
}

static enum job_outcome outcome_of(struct plugin_hook *h, struct future *f, struct job *j,
                                   struct twin *t, struct err *why)
{
    bool blocking = h->conf.handler.blocking, begun = atomic_load(&t->begun);
    if (!future_done(f) || (blocking && future_cancelled(f)))
        return begun ? leave_behind(h, f, t) : JOB_CANCELLED;
    if (begun)
        return take_outcome(j, t, why);
    twin_unref(t); /* the task's, which ended at its first turn: cancelled, or without a stack */
    if (future_result(f, NULL, NULL) != -ENOMEM)
        return JOB_CANCELLED;
    (void)error_set(why, -ENOMEM);
    return JOB_AGAIN;
}

enum job_outcome plugin_run(struct job *j, void *state, struct err *why)
{
    struct plugin_hook *h = state;
    struct twin *t = twin_new(h, j);
    if (!t) {
        (void)error_set(why, -ENOMEM);
        return JOB_AGAIN;
    }
    struct future *f = begin(h, j, t, why);
    if (!f) {
        twin_unref(t);
        return JOB_AGAIN;
    }
    await_function(h, f, j, t);
    enum job_outcome outcome = outcome_of(h, f, j, t, why);
    future_unref(f);
    twin_unref(t);
    return outcome;
}
