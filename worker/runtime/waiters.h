/* waiters.h - tasks in a row before something that is not free: what lock, event, condition,
 * semaphore and queue share. Runs on: the loop's thread. Errors: negative codes. A waiter lies on
 * the stack of the task that waits, so a row allocates nothing but the futures.
 * Source: the deques of futures in CPython 3.11's asyncio.locks and asyncio.queues. */
#ifndef RUNTIME_WAITERS_H
#define RUNTIME_WAITERS_H

#include <stdbool.h>

#include "worker/runtime/future.h"

struct waiter {
    struct future *future;
    struct waiter *next, *prev;
    bool linked;
};

struct waiters {
    struct waiter *first, *last;
};

/* Awaits its turn, at the end of the row. 0; -ECANCELED, then *ret_woken says whether its turn had
 * come all the same; -ENOMEM, ERROR_NO_TASK. */
int waiters_wait(struct waiters *w, bool *ret_woken, struct err *e);
/* It is the turn of the first one whose turn has not come yet; false where there is none. */
bool waiters_wake(struct waiters *w);
/* The same, and it leaves the row at once: queues pop whom they wake. */
bool waiters_pop(struct waiters *w);
void waiters_wake_all(struct waiters *w);
/* Nobody stands in the row, or all who do were cancelled and have not left yet. */
bool waiters_idle(const struct waiters *w);

#endif
