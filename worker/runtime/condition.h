/* condition.h - waits, under a lock, until another task says that something has changed.
 * Runs on: the loop's thread. Awaits only where said. Errors: negative codes. Ownership: the
 * caller's storage; borrows the lock. Source: CPython 3.11 asyncio.Condition; but a notify whose
 * receiver is cancelled at the same time goes to the next one, as in CPython 3.13: in 3.11 it is
 * lost. */
#ifndef RUNTIME_CONDITION_H
#define RUNTIME_CONDITION_H

#include "worker/runtime/lock.h"

struct condition {
    struct lock *lock;
    struct waiters waiters;
};

void condition_init(struct condition *c, struct lock *l);
/* Awaits: gives the lock up, waits for a notify, and has the lock again: 0 or -ECANCELED.
 * ERROR_RUNTIME where the lock is not held ("cannot wait on un-acquired lock"), ERROR_NO_TASK
 * outside of a task: then nothing has changed. */
int condition_wait(struct condition *c, struct err *e);
/* Awaits until holds(arg) is true; it is asked under the lock. As condition_wait. */
int condition_wait_for(struct condition *c, bool (*holds)(void *arg), void *arg, struct err *e);
/* Wakes up to n, in the order of waiting; ERROR_RUNTIME ("cannot notify on un-acquired lock"). */
int condition_notify(struct condition *c, unsigned n, struct err *e);
int condition_notify_all(struct condition *c, struct err *e);

#endif
