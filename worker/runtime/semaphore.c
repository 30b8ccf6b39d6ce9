#include "worker/runtime/semaphore.h"

#include <errno.h>
#include <limits.h>

void semaphore_init(struct semaphore *s, unsigned value)
{
    GIVEN(s);
    *s = (struct semaphore){.value = value};
}

int semaphore_init_bounded(struct semaphore *s, unsigned value, struct err *e)
{
    GIVEN(s);
    if (!value)
        return err_set(e, -EINVAL, "a bounded semaphore begins with at least 1");
    *s = (struct semaphore){.value = value, .bound = value};
    return 0;
}

/* The turn takes one of the value with it. */
static void wake_next(struct semaphore *s)
{
    if (waiters_wake(&s->waiters))
        s->value--;
}

int semaphore_acquire(struct semaphore *s, struct err *e)
{
    GIVEN(s);
    int r = waiters_enter(&s->waiters, e);
    if (r < 0)
        return r;
    if (!semaphore_locked(s)) {
        s->value--;
        return 0;
    }
    bool woken;
    r = waiters_wait(&s->waiters, &woken, e);
    if (r < 0 && woken) {
        s->value++; /* its turn had come: the next one has it */
        wake_next(s);
    } else if (r == 0 && s->value) {
        wake_next(s);
    }
    return r;
}

int semaphore_release(struct semaphore *s, struct err *e)
{
    GIVEN(s);
    int r = waiters_enter(&s->waiters, e);
    if (r < 0)
        return r;
    if (s->bound && s->value >= s->bound)
        return err_set(e, -EINVAL, "BoundedSemaphore released too many times");
    if (s->value == UINT_MAX)
        return err_set(e, -EOVERFLOW, "Semaphore released too many times");
    s->value++;
    wake_next(s);
    return 0;
}

bool semaphore_locked(const struct semaphore *s)
{
    GIVEN(s);
    waiters_check(&s->waiters, __func__);
    return s->value == 0 || !waiters_idle(&s->waiters);
}
