#include "worker/runtime/internal.h"

#include <errno.h>

#include "common/clock.h"

static void run_handle(struct loop_item *i)
{
    struct handle *h = CONTAINER_OF(i, struct handle, timer.item);
    if (!h->cancelled) {
        struct context *before = context_swap(h->context);
        h->fn(h->arg);
        h->context = context_swap(before);
    }
    handle_unref(h);
}

static void drop_handle(struct loop_item *i)
{
    handle_unref(CONTAINER_OF(i, struct handle, timer.item));
}

static const struct loop_item_ops handle_ops = {run_handle, drop_handle};

static struct handle *handle_new(struct loop *l, loop_fn fn, void *arg)
{
    if (loop_is_closed(l)) {
        errno = -ERROR_CLOSED;
        return NULL;
    }
    struct handle *h = recycle_get(&l->handles);
    if (!h)
        return NULL;
    *h = (struct handle){.timer = {.item = {.ops = &handle_ops}},
                         .refs = 1, /* the queue's */
                         .fn = fn,
                         .arg = arg,
                         .loop = l,
                         .context = context_copy()};
    loop_hold(l);
    return h;
}

struct handle *loop_call_soon(struct loop *l, loop_fn fn, void *arg)
{
    GIVEN(fn);
    loop_check_thread(l, __func__);
    struct handle *h = handle_new(l, fn, arg);
    if (h)
        queue_push(&l->ready, &h->timer.item);
    return h;
}

static struct handle *call_at_ns(struct loop *l, int64_t due_ns, loop_fn fn, void *arg)
{
    struct handle *h = handle_new(l, fn, arg);
    if (h && timers_add(&l->timers, &h->timer, due_ns) < 0) {
        handle_unref(h);
        errno = ENOMEM;
        return NULL;
    }
    return h;
}

struct handle *loop_call_later(struct loop *l, int64_t delay_ms, loop_fn fn, void *arg)
{
    GIVEN(fn);
    loop_check_thread(l, __func__);
    return call_at_ns(l, clock_now_ns() + timer_ns(delay_ms), fn, arg);
}

struct handle *loop_call_at(struct loop *l, int64_t when_ms, loop_fn fn, void *arg)
{
    GIVEN(fn);
    loop_check_thread(l, __func__);
    return call_at_ns(l, timer_ns(when_ms), fn, arg);
}

void handle_cancel(struct handle *h)
{
    GIVEN(h);
    if (h->cancelled)
        return;
    loop_check_thread(h->loop, __func__);
    h->cancelled = true;
    if (h->timer.place) { /* the heap's reference; a queued one goes when its turn comes */
        timers_remove(&h->loop->timers, &h->timer);
        handle_unref(h);
    }
}

bool handle_cancelled(const struct handle *h)
{
    GIVEN(h);
    loop_check_thread(h->loop, __func__);
    return h->cancelled;
}

struct handle *handle_ref(struct handle *h)
{
    GIVEN(h);
    loop_check_thread(h->loop, __func__);
    h->refs++;
    return h;
}

void handle_unref(struct handle *h)
{
    if (!h)
        return;
    loop_check_thread(h->loop, __func__);
    if (--h->refs > 0)
        return;
    struct loop *l = h->loop;
    context_unref(h->context);
    recycle_put(&l->handles, h);
    loop_release(l);
}
