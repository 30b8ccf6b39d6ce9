/* waiters.h - tasks in a row before something that is not free: what lock, event, condition,
 * semaphore and queue share; the runtime's own. Runs on: the loop's thread. Errors: negative codes.
 * A waiter lies on the stack of the task that waits, so that waiting never lacks memory.
 * Source: the deques of futures in CPython 3.11's asyncio.locks and asyncio.queues. */
#ifndef RUNTIME_WAITERS_H
#define RUNTIME_WAITERS_H

#include <stdbool.h>
#include <stdint.h>

#include "worker/runtime/future.h"

struct waiter;

struct waiters {
    struct waiter *first, *last;
    unsigned inside; /* who stands in it, or was called and has not gone on yet */
    uint64_t loop;   /* number of the loop that used it last; 0: none */
};

/* The first line of what is done to the object around the row: it is the running loop's from here.
 * 0; ERROR_OTHER_LOOP: the loop that used it last runs on another thread. */
int waiters_enter(struct waiters *w, struct err *e);
/* The same for functions without an error: ends the process with a sentence. */
void waiters_must_enter(struct waiters *w, const char *who);
/* The same for who only looks. */
void waiters_check(const struct waiters *w, const char *who);

/* Awaits its turn, at the end of the row. 0; -ECANCELED, then *ret_woken says whether its turn had
 * come all the same; ERROR_NO_TASK, ERROR_OTHER_LOOP (tasks of another loop stand there). */
int waiters_wait(struct waiters *w, bool *ret_woken, struct err *e);
/* It is the turn of the first one whose turn has not come yet; false where there is none. */
bool waiters_wake(struct waiters *w);
/* Of the first one or of nobody: false also where its turn has come already. */
bool waiters_wake_first(struct waiters *w);
/* The turn of the first one as waiters_wake, and it leaves the row at once: queues pop whom they
 * wake. */
bool waiters_pop(struct waiters *w);
void waiters_wake_all(struct waiters *w);
/* Nobody stands in the row, or all who do were cancelled and have not left yet. */
bool waiters_idle(const struct waiters *w);
/* The task of x will never go on: x leaves its row. Called by the loop that drops it. */
void waiter_drop(struct waiter *x);

#endif
