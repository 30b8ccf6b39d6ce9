#include "worker/runtime/lock.h"

#include <errno.h>

void lock_init(struct lock *l)
{
    GIVEN(l);
    *l = (struct lock){0};
}

int lock_acquire(struct lock *l, struct err *e)
{
    GIVEN(l);
    int r = waiters_enter(&l->waiters, e);
    if (r < 0)
        return r;
    if (!l->locked && waiters_idle(&l->waiters)) {
        l->locked = true;
        return 0;
    }
    bool woken;
    r = waiters_wait(&l->waiters, &woken, e);
    if (r == 0)
        l->locked = true;
    else if (r == -ECANCELED && !l->locked)
        (void)waiters_wake_first(&l->waiters); /* its turn goes to the next */
    return r;
}

int lock_release(struct lock *l, struct err *e)
{
    GIVEN(l);
    int r = waiters_enter(&l->waiters, e);
    if (r < 0)
        return r;
    if (!l->locked)
        return error_set(e, ERROR_NOT_LOCKED);
    l->locked = false;
    /* Only the first: one whose turn has come already has the lock, and wakes the next itself. */
    (void)waiters_wake_first(&l->waiters);
    return 0;
}

bool lock_locked(const struct lock *l)
{
    GIVEN(l);
    waiters_check(&l->waiters, __func__);
    return l->locked;
}
