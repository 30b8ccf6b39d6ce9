/* plugin_thread.c - functions on threads beside the loop. Nothing interrupts one: a job whose
 * function does not return within GRACE_MS of its cancelling is left behind. Its slot is free and
 * its outcome settled then; the function works on a copy of the job and ends by itself, and what it
 * returns is dropped. No more than LEFT_MAX are left behind by a worker's queue: one more keeps its
 * slot until it returns, so that stuck functions do not fill the machine with threads. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "worker/crash.h"
#include "worker/handler/plugin.h"
#include "worker/runtime/wait.h"

#define GRACE_MS 3000 /* less than the daemon gives its handlers when it ends */
#define LEFT_MAX 64

/* Functions on threads, of all queues and workers: the end of the process is all that asks. */
static atomic_uint calls_in_process;

struct call {
    struct plugin_hook *hook;
    rpopd_function fn;
    void *arg;
    bool begun;
    char birth[JOB_ID_MAX];
    struct job *named; /* the job for a crash note: it may have ended before the function does */
};

void plugin_hook_unref(struct plugin_hook *h)
{
    if (atomic_fetch_sub(&h->refs, 1) > 1)
        return;
    executor_unref(h->threads);
    free(h->conf.name);
    free(h);
}

static void call_returned(struct call *c)
{
    atomic_fetch_sub(&c->hook->calls, 1);
    atomic_fetch_sub(&calls_in_process, 1);
}

/* Any thread. */
static void call_free(void *arg)
{
    struct call *c = arg;
    if (!c->begun)
        call_returned(c);
    (void)job_free(c->named);
    plugin_hook_unref(c->hook);
    free(c);
}

static struct call *call_new(struct plugin_hook *h, const struct job *j, rpopd_function fn,
                             void *arg)
{
    struct call *c = calloc(1, sizeof *c);
    if (!c || !(c->named = job_new(&h->conf, NULL, 0))) {
        free(c);
        return NULL;
    }
    c->hook = h;
    c->fn = fn;
    c->arg = arg;
    if (j->birth)
        (void)memccpy(c->birth, j->birth, '\0', sizeof c->birth - 1);
    c->named->birth = c->birth;
    c->named->index = j->index;
    atomic_fetch_add(&h->refs, 1);
    atomic_fetch_add(&h->calls, 1);
    atomic_fetch_add(&calls_in_process, 1);
    return c;
}

/* On the thread. */
static int call_main(void *arg, void **ret_result, struct err *e)
{
    struct call *c = arg;
    c->begun = true;
    crash_job(c->named);
    int r = c->fn(c->arg, ret_result, plugin_error(e));
    crash_job(NULL);
    call_returned(c);
    return r;
}

struct future *plugin_call(struct plugin_hook *h, const struct job *j, rpopd_function fn, void *arg,
                           struct err *e)
{
    struct call *c = call_new(h, j, fn, arg);
    if (!c) {
        errno = -error_set(e, -ENOMEM);
        return NULL;
    }
    struct future *f = run_in_executor_taking(h->threads, call_main, c, call_free);
    if (!f)
        (void)error_set(e, -errno);
    return f;
}

/* ---- of a coroutine ---- */

struct rpopd_future *rpopd_in_thread(struct rpopd_job *job, rpopd_function fn, void *arg,
                                     struct rpopd_error *e)
{
    return (struct rpopd_future *)(void *)plugin_call(job->hook, job->job, fn, arg, plugin_err(e));
}

int rpopd_to_thread(struct rpopd_job *job, rpopd_function fn, void *arg, void **result,
                    struct rpopd_error *e)
{
    if (!task_current()) /* before fn has begun with what is the caller's */
        return error_set(plugin_err(e), ERROR_NO_TASK);
    struct future *f = plugin_call(job->hook, job->job, fn, arg, plugin_err(e));
    if (!f)
        return -errno;
    int r = future_await(f, result, plugin_err(e));
    future_unref(f);
    return r;
}

/* ---- a job that blocks ---- */

/* What the function sees instead of the job: a copy of its own, for as long as it runs. */
struct twin {
    struct rpopd_job face; /* first */
    struct err why;
    int code;
};

static void twin_unref(struct twin *t)
{
    if (atomic_fetch_sub(&t->face.refs, 1) > 1)
        return;
    (void)job_free(t->face.job);
    free(t);
}

static struct twin *twin_new(struct plugin_hook *h, struct job *j)
{
    struct twin *t = calloc(1, sizeof *t);
    struct job *copy = t ? job_new(&h->conf, j->payload, j->len) : NULL;
    if (!copy) {
        free(t);
        return NULL;
    }
    plugin_job_init(&t->face, h, j, &t->why);
    copy->attempt = j->attempt;
    t->face.job = copy;
    atomic_store(&t->face.refs, 2);
    return t;
}

/* On the thread. */
static int twin_main(void *arg, void **ret_result, struct rpopd_error *e)
{
    struct twin *t = arg;
    struct plugin_hook *h = t->face.hook;
    (void)ret_result, (void)e;
    t->code = rpopd_job_cancelled(&t->face)
                  ? -ECANCELED
                  : h->plugin.run(&t->face, h->state, plugin_error(&t->why));
    twin_unref(t);
    return 0;
}

/* Awaits until f is done, or it is given up. */
static void await_function(struct plugin_hook *h, struct future *f, struct job *j, struct twin *t)
{
    size_t done, pending;
    int r = future_wait(&f, 1, -1, WAIT_ALL_COMPLETED, &done, &pending, NULL);
    if (r == 0)
        return;
    if (r != -ECANCELED)
        r = future_await(f, NULL, NULL); /* takes no memory, and gives no grace */
    if (r == 0)
        return;
    (void)job_cancel(t->face.job, atomic_load(&j->cancel));
    if (!atomic_load(&j->at_once))
        r = future_wait(&f, 1, GRACE_MS, WAIT_ALL_COMPLETED, &done, &pending, NULL);
    bool ends = atomic_load(&j->cancel) == CANCEL_SHUTDOWN;
    int left = (int)(atomic_load(&h->calls) - h->awaited); /* fewer where some have just returned */
    if (r == 0 && !future_done(f) && !ends && left >= LEFT_MAX)
        (void)future_wait(&f, 1, -1, WAIT_ALL_COMPLETED, &done, &pending, NULL);
}

static enum job_outcome take_outcome(struct job *j, struct twin *t, struct err *why)
{
    struct job *copy = t->face.job;
    job_result(j, copy->result, copy->result_len);
    copy->result = NULL;
    free(j->evidence.output); /* of a run before, that found no memory */
    j->evidence = copy->evidence;
    copy->evidence.output = NULL;
    j->delay_ms = copy->delay_ms;
    *why = t->why;
    return plugin_outcome(j, t->code, why);
}

static enum job_outcome leave_behind(const struct plugin_hook *h, const struct twin *t)
{
    char queue[LOG_QUOTE_MAX];
    log_warn("plugin-left-behind",
             "queue=%s id=%s what='its function goes on in its thread, nobody waits for it'",
             log_quote(h->conf.name, strlen(h->conf.name), queue), t->face.id);
    return JOB_CANCELLED;
}

enum job_outcome plugin_run_blocking(struct plugin_hook *h, struct job *j, struct err *why)
{
    struct twin *t = twin_new(h, j);
    struct future *f = t ? plugin_call(h, j, twin_main, t, why) : NULL;
    if (!f) {
        if (t)
            twin_unref(t); /* the thread's */
        else
            (void)error_set(why, -ENOMEM);
        if (t)
            twin_unref(t);
        return JOB_AGAIN;
    }
    h->awaited++;
    await_function(h, f, j, t);
    h->awaited--;
    enum job_outcome outcome =
        future_done(f) && !future_cancelled(f) ? take_outcome(j, t, why) : leave_behind(h, t);
    future_unref(f);
    twin_unref(t);
    return outcome;
}

/* ---- the end of the process ---- */

/* Behind this come the destructors of plugins, which must not run beside their functions. */
static void leave(int status, void *arg)
{
    (void)arg;
    if (atomic_load(&calls_in_process))
        _exit(status);
}

static void register_leave(void)
{
    (void)on_exit(leave, NULL);
}

void plugin_leave_at_exit(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, register_leave);
}
