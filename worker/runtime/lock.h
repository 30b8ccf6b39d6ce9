/* lock.h - one task at a time. Runs on: the loop's thread. Awaits only where said.
 * Errors: negative codes.
 * Ownership: the caller's storage; it is given up when nobody holds it or waits for it. It belongs
 * to the loop that used it last as long as that one runs, or a task of it waits: ERROR_OTHER_LOOP
 * from everywhere else, and functions that return no code end the process with a sentence; likewise
 * for event, condition, semaphore and queue.
 * Fair: who has waited longest is next. Source: CPython 3.11 asyncio.Lock. */
#ifndef RUNTIME_LOCK_H
#define RUNTIME_LOCK_H

#include "worker/runtime/waiters.h"

struct lock {
    bool locked;
    struct waiters waiters;
};

void lock_init(struct lock *l);
/* Awaits unless it is free and nobody waits. 0: it is yours; -ECANCELED, ERROR_NO_TASK,
 * ERROR_OTHER_LOOP: it is not. */
int lock_acquire(struct lock *l, struct err *e);
int lock_release(struct lock *l, struct err *e); /* 0; ERROR_NOT_LOCKED */
bool lock_locked(const struct lock *l);

#endif
