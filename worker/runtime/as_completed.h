/* as_completed.h - the outcomes of many futures, in the order in which they come.
 * Runs on: the loop's thread. Awaits only where said. Errors: negative codes; NULL with errno set.
 * Units: ms; a negative timeout: no limit. Source: CPython 3.11 asyncio.as_completed.
 *
 *     while (as_completed_more(a))
 *         r = as_completed_next(a, &f, &value, &e);
 *     a = as_completed_free(a);
 *
 * Nothing is cancelled by it, neither at the timeout nor by as_completed_free. */
#ifndef RUNTIME_AS_COMPLETED_H
#define RUNTIME_AS_COMPLETED_H

#include "worker/runtime/future.h"

struct as_completed;

/* Gives; borrows the array, shares the futures; what is there twice counts once. The timeout is for
 * the whole and begins now. ERROR_TYPE (a NULL among them), ERROR_OTHER_LOOP (they are not of one
 * loop), ERROR_CLOSED, -ENOMEM. */
struct as_completed *as_completed_new(struct future *const *fs, size_t count, int64_t timeout_ms);
/* Takes; nobody may wait in it (fatal). NULL is fine; returns NULL. */
struct as_completed *as_completed_free(struct as_completed *a);
bool as_completed_more(const struct as_completed *a); /* is there an outcome left to ask for? */

/* Awaits. The next outcome, as future_result gives it, and the future it belongs to (borrowed until
 * as_completed_free; NULL is fine). *ret_future is NULL where the outcome is of no future:
 * -ETIMEDOUT, one for each that was not done in time, -ECANCELED (who waits was cancelled; an
 * outcome less can be asked for), ERROR_RUNTIME (there are no more), ERROR_NO_TASK,
 * ERROR_OTHER_LOOP, -ENOMEM. Several tasks may wait: the first one gets the first outcome. */
int as_completed_next(struct as_completed *a, struct future **ret_future, void **ret_result,
                      struct err *e);

#endif
