/* timeout.h - a time limit for a block of code.
 * Runs on: the loop's thread, in one task. Never awaits. Errors: negative codes. Units: ms;
 * deadlines count as loop_time_ms does; a negative one: no limit. Source: CPython 3.11
 * asyncio.timeout, timeout_at.
 *
 *     struct timeout limit;
 *     int r = timeout_enter(&limit, 2000, e);
 *     if (r == 0)
 *         r = timeout_exit(&limit, fetch(page, e), e);
 *
 * At the limit the task is cancelled; where that leaves the block as -ECANCELED, and nobody else
 * asked to cancel, timeout_exit makes -ETIMEDOUT of it. Blocks may be nested. */
#ifndef RUNTIME_TIMEOUT_H
#define RUNTIME_TIMEOUT_H

#include "worker/runtime/task.h"

enum timeout_state {
    TIMEOUT_ACTIVE = 1,
    TIMEOUT_EXPIRING, /* the task was asked to cancel */
    TIMEOUT_EXPIRED,  /* and the block has been left */
    TIMEOUT_FINISHED  /* left before the limit */
};

struct timeout { /* the caller's storage, from timeout_enter to timeout_exit; its fields are private
                  */
    enum timeout_state state;
    unsigned cancelling; /* the task's cancellations before the block */
    int64_t when_ms;
    struct task *task;
    struct handle *alarm;
};

/* Begins the block; every 0 needs a timeout_exit by the same task. ERROR_NO_TASK, -ENOMEM. */
int timeout_enter(struct timeout *t, int64_t delay_ms, struct err *e);
int timeout_enter_at(struct timeout *t, int64_t when_ms, struct err *e);
/* Ends the block, which came to `code`: that code and *e as it is, or -ETIMEDOUT. Twice, or by
 * another task, ends the process. */
int timeout_exit(struct timeout *t, int code, struct err *e);

/* In the block: another limit. ERROR_RUNTIME once it has expired or was left; -ENOMEM: then there
 * is no limit any more. */
int timeout_reschedule(struct timeout *t, int64_t when_ms, struct err *e);
int64_t timeout_when_ms(const struct timeout *t); /* the limit; -1: none */
bool timeout_expired(const struct timeout *t);    /* also after the block */

#endif
