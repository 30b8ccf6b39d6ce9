#include "worker/runtime/internal.h"

#include <errno.h>
#include <stdlib.h>

/* The inbox is a list that any thread pushes to with one compare-and-swap and the loop takes as a
 * whole. Waking costs a system call, so it is done only for a loop that sleeps: the loop says so,
 * then looks into the inbox once more; who pushes does it the other way round; both are
 * sequentially consistent, so that one of them sees the other. */

static struct loop_item closed_mark;
#define INBOX_CLOSED (&closed_mark)

/* On the loop's own thread, while it runs: its place is behind all that was handed over before. */
static int post_to_oneself(struct loop *l, struct loop_item *i)
{
    (void)inbox_take(l);
    queue_push(&l->ready, i);
    return 0;
}

int loop_post(struct loop *l, struct loop_item *i)
{
    GIVEN(l);
    GIVEN(i);
    if (loop_of_thread == l)
        return post_to_oneself(l, i);
    struct loop_item *first = atomic_load_explicit(&l->inbox, memory_order_relaxed);
    do {
        if (first == INBOX_CLOSED)
            return ERROR_CLOSED;
        i->next = first;
    } while (!atomic_compare_exchange_weak(&l->inbox, &first, i));
    if (atomic_load(&l->sleeping) && atomic_exchange(&l->sleeping, false))
        poll_wake(l);
    return 0;
}

static struct loop_item *oldest_first(struct loop_item *i)
{
    struct loop_item *list = NULL;
    while (i) {
        struct loop_item *next = i->next;
        i->next = list;
        list = i;
        i = next;
    }
    return list;
}

bool inbox_take(struct loop *l)
{
    if (!atomic_load_explicit(&l->inbox, memory_order_relaxed))
        return false;
    struct loop_item *newest = atomic_exchange_explicit(&l->inbox, NULL, memory_order_acquire);
    struct loop_item *oldest = oldest_first(newest);
    if (l->ready.head)
        l->ready.tail->next = oldest;
    else
        l->ready.head = oldest;
    l->ready.tail = newest;
    return true;
}

void inbox_close(struct loop *l)
{
    struct loop_item *i = oldest_first(atomic_exchange(&l->inbox, INBOX_CLOSED));
    while (i) {
        struct loop_item *next = i->next;
        i->ops->drop(i);
        i = next;
    }
}

struct call { /* a call_soon_threadsafe under way */
    struct loop_item item;
    loop_fn fn;
    void *arg;
    struct context *context;
};

static void drop_call(struct loop_item *i)
{
    struct call *c = CONTAINER_OF(i, struct call, item);
    context_unref(c->context);
    free(c);
}

static void run_call(struct loop_item *i)
{
    struct call *c = CONTAINER_OF(i, struct call, item);
    struct context *before = context_swap(c->context);
    c->fn(c->arg);
    c->context = context_swap(before);
    drop_call(i);
}

static const struct loop_item_ops call_ops = {run_call, drop_call};

int loop_call_soon_threadsafe(struct loop *l, loop_fn fn, void *arg)
{
    GIVEN(l);
    GIVEN(fn);
    struct call *c = malloc(sizeof *c);
    if (!c)
        return -ENOMEM;
    *c = (struct call){.item = {.ops = &call_ops}, .fn = fn, .arg = arg, .context = context_copy()};
    int r = loop_post(l, &c->item);
    if (r < 0)
        drop_call(&c->item);
    return r;
}

static void job_ended(struct task *t, void *arg)
{
    struct loop_job *job = arg;
    struct loop *l = t->future.loop;
    int code = l->end.code < 0 ? l->end.code : 0;
    job->task = NULL;
    t->future.looked_at = true;
    job->done(job, code, l->end.result, code ? &l->end.err : NULL);
}

static void refuse_job(struct loop_job *job, int code)
{
    struct err e;
    (void)error_set(&e, code);
    job->done(job, code, NULL, &e);
}

static void run_job(struct loop_item *i)
{
    struct loop_job *job = CONTAINER_OF(i, struct loop_job, item);
    int r = task_new(loop_running(), job->fn, job->arg, job->name, &job->task);
    if (r < 0) {
        refuse_job(job, r);
        return;
    }
    job->task->ended = job_ended;
    job->task->ended_arg = job;
    job->task->no_destroy_report = true;
    task_unref(job->task); /* the loop's own reference keeps it until it has ended */
}

static void drop_job(struct loop_item *i)
{
    refuse_job(CONTAINER_OF(i, struct loop_job, item), ERROR_CLOSED);
}

static const struct loop_item_ops job_ops = {run_job, drop_job};

int loop_submit(struct loop *l, struct loop_job *job)
{
    GIVEN(l);
    GIVEN(job);
    GIVEN(job->fn);
    GIVEN(job->done);
    job->item.ops = &job_ops;
    job->task = NULL;
    return loop_post(l, &job->item);
}
