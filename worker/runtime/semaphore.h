/* semaphore.h - so many tasks at a time. Runs on: the loop's thread. Awaits only where said.
 * Errors: negative codes.
 * Ownership: the caller's storage. Fair: who has waited longest is next.
 * Source: CPython 3.11 asyncio.Semaphore and BoundedSemaphore. */
#ifndef RUNTIME_SEMAPHORE_H
#define RUNTIME_SEMAPHORE_H

#include "worker/runtime/waiters.h"

struct semaphore {
    unsigned value;
    unsigned bound; /* 0: none */
    struct waiters waiters;
};

void semaphore_init(struct semaphore *s, unsigned value);
/* It is never released above its first value, which is at least 1 (-EINVAL). */
int semaphore_init_bounded(struct semaphore *s, unsigned value, struct err *e);
/* Awaits unless one is free and nobody waits; 0, -ECANCELED, ERROR_NO_TASK. */
int semaphore_acquire(struct semaphore *s, struct err *e);
int semaphore_release(struct semaphore *s,
                      struct err *e); /* -EINVAL: bounded, and too many times; -EOVERFLOW */
bool semaphore_locked(const struct semaphore *s); /* an acquire would wait */

#endif
