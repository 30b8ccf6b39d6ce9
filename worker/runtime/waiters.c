#include "worker/runtime/waiters.h"

#include "worker/runtime/internal.h"

struct waiter { /* on the stack of the task that waits */
    struct future future;
    struct waiters *row;
    struct waiter *next, *prev;
    bool linked;
};

static void link_in(struct waiters *w, struct waiter *x)
{
    x->next = NULL;
    x->prev = w->last;
    *(w->last ? &w->last->next : &w->first) = x;
    w->last = x;
    w->inside++;
    x->linked = true;
}

static void link_out(struct waiters *w, struct waiter *x)
{
    if (!x->linked)
        return;
    *(x->prev ? &x->prev->next : &w->first) = x->next;
    *(x->next ? &x->next->prev : &w->last) = x->prev;
    x->linked = false;
}

static uint64_t number_here(void)
{
    return loop_of_thread ? loop_of_thread->number : 0;
}

static bool is_elsewhere(const struct waiters *w)
{
    return w->loop != number_here() && w->loop && running_has(w->loop);
}

int waiters_enter(struct waiters *w, struct err *e)
{
    if (is_elsewhere(w))
        return error_set(e, ERROR_OTHER_LOOP);
    w->loop = number_here();
    return 0;
}

void waiters_must_enter(struct waiters *w, const char *who)
{
    waiters_check(w, who);
    w->loop = number_here();
}

void waiters_check(const struct waiters *w, const char *who)
{
    if (is_elsewhere(w))
        error_fatal("%s: called from another thread than the loop's; use loop_call_soon_threadsafe",
                    who);
}

/* Only the row and the await know the future, so the last reference is the waiter's own. */
static void end_waiter(struct future *f)
{
    struct loop *l = f->loop;
    future_deinit(f);
    loop_release(l);
}

static const struct future_kind waiter_kind = {.lost_error = "", .end = end_waiter};

int waiters_wait(struct waiters *w, bool *ret_woken, struct err *e)
{
    struct task *t = task_here();
    *ret_woken = false;
    if (!t)
        return error_set(e, ERROR_NO_TASK);
    if (w->first && w->first->future.loop != t->future.loop)
        return error_set(e, ERROR_OTHER_LOOP);
    struct waiter x = {.row = w};
    future_init(&x.future, t->future.loop, &waiter_kind);
    link_in(w, &x);
    t->place = &x;
    int r = future_await(&x.future, NULL, e);
    t->place = NULL;
    *ret_woken = future_done(&x.future) && !future_cancelled(&x.future);
    waiter_drop(&x);
    return r;
}

void waiter_drop(struct waiter *x)
{
    link_out(x->row, x);
    x->row->inside--;
    future_unref(&x->future);
}

static struct waiter *first_undone(const struct waiters *w)
{
    struct waiter *x = w->first;
    while (x && future_done(&x->future))
        x = x->next;
    return x;
}

bool waiters_wake(struct waiters *w)
{
    struct waiter *x = first_undone(w);
    return x && future_set_result(&x->future, NULL) == 0;
}

bool waiters_wake_first(struct waiters *w)
{
    return w->first && future_set_result(&w->first->future, NULL) == 0;
}

bool waiters_pop(struct waiters *w)
{
    while (w->first) {
        struct waiter *x = w->first;
        link_out(w, x);
        if (future_set_result(&x->future, NULL) == 0)
            return true; /* else it was done: the next one */
    }
    return false;
}

void waiters_wake_all(struct waiters *w)
{
    while (waiters_wake(w))
        ;
}

bool waiters_idle(const struct waiters *w)
{
    for (const struct waiter *x = w->first; x; x = x->next)
        if (!future_cancelled(&x->future))
            return false;
    return true;
}
