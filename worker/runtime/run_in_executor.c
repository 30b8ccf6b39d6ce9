/* The loop's side of executors: a future for each call, the default executor as a part of the loop.
 * A call goes from the loop's thread to the pool's and back by loop_post; where the loop was closed
 * meanwhile, whoever comes last frees it. */
#include "worker/runtime/executor_work.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "worker/runtime/internal.h"

struct desk { /* what a loop has to do with executors */
    struct loop_part part;
    struct loop *loop;
    struct executor *standard; /* the default one; NULL: not needed yet */
    bool shut;
    pthread_mutex_t lock; /* guards calls, refs and each call's away, detached */
    struct call *calls;
    unsigned refs; /* the loop's, and one for each call */
};

enum call_state { CALL_QUEUED, CALL_RUNNING, CALL_SKIPPED };

struct call {
    struct executor_work work;
    struct loop_item item;
    struct desk *desk;
    struct call *next, **at;
    struct future *future; /* the loop's thread's */
    struct executor_job job;
    void *result;
    int code;
    struct err err;
    _Atomic int state;
    bool cancelled; /* by who shut the executor down */
    bool away;      /* the pool's, or on its way back */
    bool detached;  /* the loop was closed: the pool's thread frees it */
    bool watched;   /* its done callback is still to come */
};

static void desk_unref(struct desk *d) /* takes the lock */
{
    bool last = --d->refs == 0;
    (void)pthread_mutex_unlock(&d->lock);
    if (!last)
        return;
    (void)pthread_mutex_destroy(&d->lock);
    free(d);
}

static void call_free(struct call *c)
{
    struct desk *d = c->desk;
    context_unref(c->job.context);
    if (c->job.free_arg)
        c->job.free_arg(c->job.arg);
    if (c->job.free_result && c->result)
        c->job.free_result(c->result);
    (void)pthread_mutex_lock(&d->lock);
    if (c->at) {
        *c->at = c->next;
        if (c->next)
            c->next->at = c->at;
    }
    desk_unref(d);
    free(c);
}

static void send_back(struct call *c)
{
    struct desk *d = c->desk;
    (void)pthread_mutex_lock(&d->lock);
    bool detached = c->detached;
    if (!detached && loop_post(d->loop, &c->item) < 0)
        c->away = false; /* the loop is being closed: its thread frees it */
    (void)pthread_mutex_unlock(&d->lock);
    if (detached)
        call_free(c);
}

/* On the pool's thread. */
static void run_call(struct executor_work *w)
{
    struct call *c = CONTAINER_OF(w, struct call, work);
    int queued = CALL_QUEUED;
    if (atomic_compare_exchange_strong(&c->state, &queued, CALL_RUNNING)) {
        struct context *before = context_swap(c->job.context);
        c->code = c->job.fn(c->job.arg, &c->result, &c->err);
        c->job.context = context_swap(before);
    }
    send_back(c);
}

/* On the thread that shuts the executor down. */
static void cancel_call(struct executor_work *w)
{
    struct call *c = CONTAINER_OF(w, struct call, work);
    c->cancelled = true;
    send_back(c);
}

static void on_cancelled(struct future *f, void *arg)
{
    struct call *c = arg;
    int queued = CALL_QUEUED;
    (void)f;
    c->watched = false;
    (void)atomic_compare_exchange_strong(&c->state, &queued, CALL_SKIPPED);
    if (!c->away)
        call_free(c);
}

static void complete(struct call *c, struct future *f)
{
    if (c->cancelled) {
        (void)future_cancel(f);
    } else if (c->code < 0) {
        (void)future_set_error(f, c->code, "%s",
                               c->err.code ? c->err.text : error_sentence(c->code));
    } else {
        (void)future_set_result(f, c->result);
        future_own_result(f, c->job.free_result);
        c->result = NULL;
    }
}

/* On the loop's thread: the call has come back. */
static void came_back(struct loop_item *i)
{
    struct call *c = CONTAINER_OF(i, struct call, item);
    struct future *f = c->future;
    c->away = false;
    c->future = NULL;
    if (!future_done(f)) {
        (void)future_remove_done_callback(f, on_cancelled, c);
        c->watched = false;
        complete(c, f);
    }
    future_unref(f);
    if (!c->watched)
        call_free(c);
}

/* The loop is closed: nobody looks at the result. */
static void dropped(struct loop_item *i)
{
    struct call *c = CONTAINER_OF(i, struct call, item);
    c->away = false; /* close_desk, behind it, frees it */
}

static const struct loop_item_ops call_ops = {came_back, dropped};

static void close_desk(struct loop_part *p)
{
    struct desk *d = CONTAINER_OF(p, struct desk, part);
    executor_unref(d->standard);
    d->standard = NULL;
    (void)pthread_mutex_lock(&d->lock);
    while (d->calls) {
        struct call *c = d->calls;
        struct future *f = c->future;
        d->calls = c->next;
        if (d->calls)
            d->calls->at = &d->calls;
        c->at = NULL;
        c->detached = true;
        bool away = c->away;
        (void)pthread_mutex_unlock(&d->lock);
        if (!away)
            call_free(c);
        future_unref(f);
        (void)pthread_mutex_lock(&d->lock);
    }
    desk_unref(d);
}

static int shut_down(struct loop_part *p, struct err *e)
{
    return loop_shutdown_default_executor(CONTAINER_OF(p, struct desk, part)->loop, e);
}

static struct desk *find_desk(const struct loop *l)
{
    struct loop_part *p = l->parts;
    while (p && p->close != close_desk)
        p = p->next;
    return p ? CONTAINER_OF(p, struct desk, part) : NULL;
}

static struct desk *desk_of(struct loop *l)
{
    struct desk *d = find_desk(l);
    if (d)
        return d;
    d = calloc(1, sizeof *d);
    if (!d)
        return NULL;
    d->loop = l;
    d->refs = 1;
    d->part = (struct loop_part){.shutdown = shut_down, .close = close_desk};
    (void)pthread_mutex_init(&d->lock, NULL);
    loop_add_part(l, &d->part);
    return d;
}

int loop_set_default_executor(struct loop *l, struct executor *x)
{
    loop_check_thread(l, __func__);
    GIVEN(x);
    struct desk *d = loop_is_closed(l) ? NULL : desk_of(l);
    if (!d)
        return loop_is_closed(l) ? ERROR_CLOSED : -ENOMEM;
    if (executor_has_kind(x))
        return ERROR_TYPE;
    if (d->shut) /* whoever shuts it down still awaits its threads */
        return ERROR_EXECUTOR_SHUTDOWN;
    executor_unref(d->standard);
    d->standard = executor_ref(x);
    return 0;
}

static struct call *call_new(struct desk *d, const struct executor_job *job)
{
    struct call *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->work = (struct executor_work){.run = run_call, .cancel = cancel_call};
    c->item.ops = &call_ops;
    c->desk = d;
    c->job = *job;
    c->away = c->watched = true;
    (void)pthread_mutex_lock(&d->lock);
    c->next = d->calls;
    c->at = &d->calls;
    if (c->next)
        c->next->at = &c->next;
    d->calls = c;
    d->refs++;
    (void)pthread_mutex_unlock(&d->lock);
    return c;
}

static int executor_for(struct desk *d, struct executor **x)
{
    if (*x)
        return 0;
    if (d->shut)
        return ERROR_EXECUTOR_SHUTDOWN;
    if (!d->standard && !(d->standard = executor_new(0)))
        return -ENOMEM;
    *x = d->standard;
    return 0;
}

static void job_drop(const struct executor_job *job)
{
    context_unref(job->context);
    if (job->free_arg)
        job->free_arg(job->arg);
}

/* A call that no executor has yet, and its future; takes the job. NULL: no memory. */
static struct call *call_prepare(struct desk *d, const struct executor_job *job)
{
    struct future *f = loop_create_future(d->loop);
    struct call *c = f ? call_new(d, job) : NULL;
    if (c && future_add_done_callback(f, on_cancelled, c) == 0) {
        c->future = f;
        return c;
    }
    if (c)
        call_free(c);
    else
        job_drop(job);
    future_unref(f);
    return NULL;
}

/* The executor did not take it. */
static void call_withdraw(struct call *c)
{
    struct future *f = c->future;
    (void)future_remove_done_callback(f, on_cancelled, c);
    call_free(c);
    future_unref(f);
}

static struct future *fail(int code)
{
    errno = -code;
    return NULL;
}

static struct future *call_submit(struct call *c, struct executor *x, struct err *e)
{
    struct future *f = future_ref(c->future);
    int r = executor_submit(x, &c->work, e);
    if (r == 0)
        return f;
    future_unref(f);
    call_withdraw(c);
    return fail(r);
}

struct future *executor_call(struct loop *l, struct executor *x, const struct executor_job *job,
                             struct err *e)
{
    if (l)
        loop_check_thread(l, "run_in_executor");
    int r = !l ? ERROR_NO_LOOP : loop_is_closed(l) ? ERROR_CLOSED : 0;
    struct desk *d = r == 0 ? desk_of(l) : NULL;
    if (r == 0)
        r = d ? executor_for(d, &x) : -ENOMEM;
    if (r < 0) {
        job_drop(job);
        return fail(error_set(e, r));
    }
    struct call *c = call_prepare(d, job);
    return c ? call_submit(c, x, e) : fail(error_set(e, -ENOMEM));
}

static struct future *run_job(struct loop *l, struct executor *x, const struct executor_job *job)
{
    if (!x || !executor_has_kind(x))
        return executor_call(l, x, job, NULL);
    job_drop(job);
    return fail(ERROR_TYPE);
}

struct future *loop_run_in_executor(struct loop *l, struct executor *x, executor_fn fn, void *arg)
{
    struct executor_job job = {.fn = fn, .arg = arg};
    GIVEN(fn);
    return run_job(l, x, &job);
}

struct future *run_in_executor_taking(struct executor *x, executor_fn fn, void *arg,
                                      void (*free_arg)(void *arg))
{
    struct executor_job job = {.fn = fn, .arg = arg, .free_arg = free_arg};
    GIVEN(fn);
    return run_job(loop_running(), x, &job);
}

struct future *run_in_executor(struct executor *x, executor_fn fn, void *arg)
{
    return loop_run_in_executor(loop_running(), x, fn, arg);
}

int to_thread(executor_fn fn, void *arg, void **ret_result, struct err *e)
{
    GIVEN(fn);
    if (loop_running() && !task_current()) /* before fn has begun with what is the caller's */
        return error_set(e, ERROR_NO_TASK);
    struct executor_job job = {.fn = fn, .arg = arg, .context = context_copy()};
    struct future *f = executor_call(loop_running(), NULL, &job, e);
    if (!f)
        return -errno;
    future_unref(f); /* the call has one; on this stack it would be lost when the loop is closed */
    return future_await(f, ret_result, e);
}

static int nothing(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)ret_result, (void)e;
    return 0;
}

int loop_shutdown_default_executor(struct loop *l, struct err *e)
{
    loop_check_thread(l, __func__);
    if (loop_is_closed(l) || !task_current())
        return error_set(e, loop_is_closed(l) ? ERROR_CLOSED : ERROR_NO_TASK);
    if (l != loop_running())
        return error_set(e, ERROR_OTHER_LOOP);
    struct desk *d = desk_of(l);
    if (!d)
        return error_set(e, -ENOMEM);
    d->shut = true;
    if (!d->standard)
        return 0;
    struct call *c = call_prepare(d, &(struct executor_job){.fn = nothing});
    if (!c)
        return error_set(e, -ENOMEM);
    struct future *f = c->future; /* borrowed, as in to_thread */
    executor_end(d->standard, &c->work);
    int r = future_await(f, NULL, e);
    /* The last thread is leaving. Cancelled: blocks until all jobs have ended, as asyncio does. */
    executor_shutdown(d->standard, true, false);
    return r;
}
