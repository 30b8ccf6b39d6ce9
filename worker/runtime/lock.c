#include "worker/runtime/lock.h"

#include <errno.h>

void lock_init(struct lock *l)
{
    *l = (struct lock){0};
}

/* Only the first: one whose turn has come already will have the lock, and wakes the next itself. */
static void wake_first(struct lock *l)
{
    if (l->waiters.first && !future_done(l->waiters.first->future))
        (void)waiters_wake(&l->waiters);
}

int lock_acquire(struct lock *l, struct err *e)
{
    if (!l->locked && waiters_idle(&l->waiters)) {
        l->locked = true;
        return 0;
    }
    bool woken;
    int r = waiters_wait(&l->waiters, &woken, e);
    if (r == 0)
        l->locked = true;
    else if (r == -ECANCELED && !l->locked)
        wake_first(l); /* its turn goes to the next */
    return r;
}

int lock_release(struct lock *l, struct err *e)
{
    if (!l->locked)
        return error_set(e, ERROR_NOT_LOCKED);
    l->locked = false;
    wake_first(l);
    return 0;
}

bool lock_locked(const struct lock *l)
{
    return l->locked;
}
