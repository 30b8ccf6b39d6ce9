#include "worker/runtime/wait.h"

#include <errno.h>
#include <stdlib.h>

#include "worker/runtime/internal.h"

struct slot {
    struct watch watch;
    struct wait *wait;
    struct future *future; /* held while somebody waits */
};

/* Outlives the waiting as long as a watch of it is queued. */
struct wait {
    size_t refs;
    size_t count, left; /* different futures; how many of them are to come */
    size_t again;       /* what was there twice: in the last slots */
    enum wait_when when;
    struct future *over; /* held; NULL: nobody waits any more */
    struct handle *limit;
    struct slot slots[];
};

static void release(struct wait *w)
{
    if (--w->refs == 0)
        free(w);
}

static void end_waiting(struct wait *w)
{
    if (!future_done(w->over))
        (void)future_set_result(w->over, NULL);
}

static void drop_limit(struct wait *w)
{
    if (w->limit)
        handle_cancel(w->limit);
}

static bool suffices(const struct wait *w, struct future *f)
{
    if (w->left == 0 || w->when == WAIT_FIRST_COMPLETED)
        return true;
    if (w->when == WAIT_ALL_COMPLETED || future_cancelled(f))
        return false;
    f->looked_at = true;
    return future_code(f) < 0;
}

static void on_done(struct watch *x)
{
    struct wait *w = CONTAINER_OF(x, struct slot, watch)->wait;
    if (w->over) {
        w->left--;
        if (suffices(w, x->future)) {
            drop_limit(w);
            end_waiting(w);
        }
    }
    release(w);
}

static void on_lost(struct watch *x)
{
    release(CONTAINER_OF(x, struct slot, watch)->wait);
}

static void on_limit(void *arg)
{
    end_waiting(arg);
}

/* Each future into a slot of its own, in order; what was there before into the last ones. */
static void fill(struct wait *w, struct future *const *fs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t at = fs[i]->seen ? count - ++w->again : w->count++;
        w->slots[at].future = future_ref(fs[i]);
        w->slots[at].wait = w;
        fs[i]->seen = true;
    }
    for (size_t i = 0; i < count; i++)
        fs[i]->seen = false;
    w->left = w->count;
    w->refs += w->count;
}

static void start(struct wait *w)
{
    for (size_t i = 0; i < w->count; i++) {
        w->slots[i].watch.done = on_done;
        w->slots[i].watch.lost = on_lost;
        future_watch(w->slots[i].future, &w->slots[i].watch);
    }
}

static int arm(struct wait *w, struct loop *l, int64_t timeout_ms)
{
    w->over = loop_create_future(l);
    if (!w->over)
        return -ENOMEM;
    if (timeout_ms < 0)
        return 0;
    w->limit = loop_call_later(l, timeout_ms, on_limit, w);
    if (!w->limit)
        return -errno;
    (void)handle_ref(w->limit);
    return 0;
}

static void disarm(struct wait *w)
{
    drop_limit(w);
    handle_unref(w->limit);
    w->limit = NULL;
    future_unref(w->over);
    w->over = NULL;
}

static int begin(struct future *const *fs, size_t count, int64_t timeout_ms, enum wait_when when,
                 struct wait **ret_wait)
{
    struct wait *w = calloc(1, sizeof *w + count * sizeof w->slots[0]);
    if (!w)
        return -ENOMEM;
    w->refs = 1;
    w->when = when;
    int r = arm(w, fs[0]->loop, timeout_ms);
    if (r < 0) {
        disarm(w);
        release(w);
        return r;
    }
    fill(w, fs, count);
    start(w);
    *ret_wait = w;
    return 0;
}

static void finish(struct wait *w)
{
    disarm(w);
    for (size_t i = 0; i < w->count; i++)
        if (future_unwatch(&w->slots[i].watch))
            w->refs--;
    for (size_t i = 0; i < w->count + w->again; i++)
        future_unref(w->slots[i].future);
    release(w);
}

static int check(struct future *const *fs, size_t count, struct err *e)
{
    const struct task *t = task_current();
    if (!t)
        return error_set(e, ERROR_NO_TASK);
    for (size_t i = 0; i < count; i++) {
        if (!fs[i])
            return err_set(e, ERROR_TYPE, "expect futures, not NULL");
        if (fs[i]->loop != t->future.loop)
            return error_set(e, ERROR_OTHER_LOOP);
    }
    return 0;
}

static void put_in_order(const struct wait *w, struct future **fs, size_t *ret_done)
{
    size_t done = 0, at;
    for (size_t i = 0; i < w->count; i++)
        if (future_done(w->slots[i].future))
            fs[done++] = w->slots[i].future;
    at = done;
    for (size_t i = 0; i < w->count; i++)
        if (!future_done(w->slots[i].future))
            fs[at++] = w->slots[i].future;
    for (size_t i = 0; i < w->again; i++)
        fs[at + i] = w->slots[at + i].future;
    *ret_done = done;
}

int future_wait(struct future **fs, size_t count, int64_t timeout_ms, enum wait_when when,
                size_t *ret_done, size_t *ret_pending, struct err *e)
{
    if (count)
        GIVEN(fs);
    GIVEN(ret_done);
    GIVEN(ret_pending);
    struct wait *w;
    if (count == 0)
        return err_set(e, -EINVAL, "Set of Tasks/Futures is empty.");
    if (when > WAIT_FIRST_EXCEPTION)
        return err_set(e, -EINVAL, "Invalid return_when value: %u", (unsigned)when);
    int r = check(fs, count, e);
    if (r < 0)
        return r;
    r = begin(fs, count, timeout_ms, when, &w);
    if (r < 0)
        return error_set(e, r);
    r = future_await(w->over, NULL, e);
    if (r == 0) {
        put_in_order(w, fs, ret_done);
        *ret_pending = w->count - *ret_done;
    }
    finish(w);
    return r;
}

/* Waits for the end of f, which decides itself when that is. */
static int cancel_and_wait(struct future *f, struct err *e)
{
    struct wait *w;
    int r = begin(&f, 1, -1, WAIT_ALL_COMPLETED, &w);
    (void)future_cancel(f);
    if (r < 0)
        return error_set(e, r);
    r = future_await(w->over, NULL, e);
    finish(w);
    return r;
}

static int cancel_overdue(struct future *f, void **ret_result, struct err *e)
{
    int r = cancel_and_wait(f, e);
    if (r < 0)
        return r;
    r = future_result(f, ret_result, e);
    return future_cancelled(f) ? error_set(e, -ETIMEDOUT) : r;
}

static int wait_with_limit(struct future *f, int64_t timeout_ms, void **ret_result, struct err *e)
{
    struct wait *w;
    int r = begin(&f, 1, timeout_ms, WAIT_ALL_COMPLETED, &w);
    if (r < 0)
        return error_set(e, r);
    r = future_await(w->over, NULL, e);
    if (future_done(f)) {
        r = future_result(f, ret_result, e);
    } else if (r < 0) {
        (void)cancel_and_wait(f, NULL); /* *e has the message of the first cancellation */
        r = -ECANCELED;
    } else {
        r = cancel_overdue(f, ret_result, e);
    }
    finish(w);
    return r;
}

int wait_for(struct future *f, int64_t timeout_ms, void **ret_result, struct err *e)
{
    int r = check(&f, 1, e);
    if (r < 0)
        return r;
    if (timeout_ms > 0)
        return wait_with_limit(f, timeout_ms, ret_result, e);
    if (timeout_ms < 0 || future_done(f))
        return future_await(f, ret_result, e);
    return cancel_overdue(f, ret_result, e);
}
