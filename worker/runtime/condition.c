#include "worker/runtime/condition.h"

#include <errno.h>
#include <limits.h>

#include "worker/runtime/task.h"

void condition_init(struct condition *c, struct lock *l)
{
    GIVEN(c);
    GIVEN(l);
    *c = (struct condition){.lock = l};
}

/* Whoever waits must have the lock again before it goes on: a cancellation meanwhile comes after.
 */
static int take_again(struct condition *c, int r, struct err *e)
{
    for (;;) {
        struct err why;
        int got = lock_acquire(c->lock, &why);
        if (got == 0)
            return r;
        if (got != -ECANCELED)
            return err_set(e, got, "%s", why.text); /* another loop's tasks wait for the lock */
        r = err_set(e, -ECANCELED, "%s", why.text);
    }
}

int condition_wait(struct condition *c, struct err *e)
{
    GIVEN(c);
    bool woken;
    int r = waiters_enter(&c->waiters, e);
    if (r < 0)
        return r;
    if (!c->lock->locked)
        return err_set(e, ERROR_RUNTIME, "cannot wait on un-acquired lock");
    if (!task_current())
        return error_set(e, ERROR_NO_TASK); /* the lock is not given up: it could not be awaited */
    (void)lock_release(c->lock, NULL);
    r = take_again(c, waiters_wait(&c->waiters, &woken, e), e);
    if (r < 0 && woken)
        (void)waiters_wake(&c->waiters); /* its notify is for the next, or nobody would wake */
    return r;
}

int condition_wait_for(struct condition *c, bool (*holds)(void *arg), void *arg, struct err *e)
{
    GIVEN(c);
    GIVEN(holds);
    int r = 0;
    while (r == 0 && !holds(arg))
        r = condition_wait(c, e);
    return r;
}

int condition_notify(struct condition *c, unsigned n, struct err *e)
{
    GIVEN(c);
    int r = waiters_enter(&c->waiters, e);
    if (r < 0)
        return r;
    if (!c->lock->locked)
        return err_set(e, ERROR_RUNTIME, "cannot notify on un-acquired lock");
    while (n && waiters_wake(&c->waiters))
        n--;
    return 0;
}

int condition_notify_all(struct condition *c, struct err *e)
{
    GIVEN(c);
    return condition_notify(c, UINT_MAX, e);
}
