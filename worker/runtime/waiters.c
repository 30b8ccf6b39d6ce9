#include "worker/runtime/waiters.h"

#include <errno.h>

#include "worker/runtime/task.h"

static void link_in(struct waiters *w, struct waiter *x)
{
    x->next = NULL;
    x->prev = w->last;
    *(w->last ? &w->last->next : &w->first) = x;
    w->last = x;
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

int waiters_wait(struct waiters *w, bool *ret_woken, struct err *e)
{
    *ret_woken = false;
    if (!task_current())
        return error_set(e, ERROR_NO_TASK);
    struct waiter x = {.future = loop_create_future(loop_running())};
    if (!x.future)
        return error_set(e, -errno);
    link_in(w, &x);
    int r = future_await(x.future, NULL, e);
    link_out(w, &x);
    *ret_woken = future_done(x.future) && !future_cancelled(x.future);
    future_unref(x.future);
    return r;
}

static struct waiter *first_undone(const struct waiters *w)
{
    struct waiter *x = w->first;
    while (x && future_done(x->future))
        x = x->next;
    return x;
}

bool waiters_wake(struct waiters *w)
{
    struct waiter *x = first_undone(w);
    return x && future_set_result(x->future, NULL) == 0;
}

bool waiters_pop(struct waiters *w)
{
    while (w->first) {
        struct waiter *x = w->first;
        link_out(w, x);
        if (future_set_result(x->future, NULL) == 0)
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
        if (!future_cancelled(x->future))
            return false;
    return true;
}
