/* plugin_thread.c - functions on threads beside the loop. Nothing interrupts one: where nobody
 * waits for it any more it ends by itself, and what it returns is dropped. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "worker/crash.h"
#include "worker/handler/plugin.h"

/* Functions on threads, of all queues and workers: the end of the process is all that asks. */
static atomic_uint calls_in_process;

struct call {
    struct plugin_hook *hook;
    rpopd_function fn;
    void *arg;
    void (*free_arg)(void *arg); /* NULL: nothing is to be done */
    bool begun;
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
    if (c->free_arg)
        c->free_arg(c->arg);
    (void)job_free(c->named);
    plugin_hook_unref(c->hook);
    free(c);
}

static struct call *call_new(struct plugin_hook *h, const struct job *j, rpopd_function fn,
                             void *arg)
{
    struct call *c = calloc(1, sizeof *c);
    if (!c || !(c->named = plugin_job_own(h, j))) {
        free(c);
        return NULL;
    }
    c->hook = h;
    c->fn = fn;
    c->arg = arg;
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
                           void (*free_arg)(void *arg), struct err *e)
{
    struct call *c = call_new(h, j, fn, arg);
    if (!c) {
        if (free_arg)
            free_arg(arg);
        errno = -error_set(e, -ENOMEM);
        return NULL;
    }
    c->free_arg = free_arg;
    struct future *f = run_in_executor_taking(h->threads, call_main, c, call_free);
    if (!f)
        (void)error_set(e, -errno);
    return f;
}

/* ---- of a coroutine ---- */

struct rpopd_future *rpopd_in_thread(struct rpopd_job *job, rpopd_function fn, void *arg,
                                     struct rpopd_error *e)
{
    struct future *f = plugin_call(job->hook, job->job, fn, arg, NULL, plugin_err(e));
    return (struct rpopd_future *)(void *)f;
}

int rpopd_to_thread(struct rpopd_job *job, rpopd_function fn, void *arg, void **result,
                    struct rpopd_error *e)
{
    if (!task_current()) /* before fn has begun with what is the caller's */
        return error_set(plugin_err(e), ERROR_NO_TASK);
    struct future *f = plugin_call(job->hook, job->job, fn, arg, NULL, plugin_err(e));
    if (!f)
        return -errno;
    int r = future_await(f, result, plugin_err(e));
    future_unref(f);
    return r;
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
