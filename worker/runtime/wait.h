/* wait.h - waiting for futures that go on whatever the waiting comes to, or for one with a limit.
 * Runs on: the loop's thread, in a task (ERROR_NO_TASK else). Errors: negative codes. Units: ms;
 * a negative timeout: no limit. Source: CPython 3.11 asyncio.wait and asyncio.wait_for. */
#ifndef RUNTIME_WAIT_H
#define RUNTIME_WAIT_H

#include "worker/runtime/future.h"

enum wait_when { WAIT_ALL_COMPLETED, WAIT_FIRST_COMPLETED, WAIT_FIRST_EXCEPTION };

/* Awaits. Returns when as many are done as `when` asks for, or at the timeout, which is no error.
 * Cancels none of them, and does not look at their errors (but WAIT_FIRST_EXCEPTION does). The
 * array is the caller's and so are its references: on success it is put in order: first the
 * *ret_done futures that are done, then the *ret_pending others, each once and in the order it was
 * in, at last what was there twice. -ECANCELED: who waits was cancelled, all of them go on. -EINVAL
 * (no future, an unknown `when`), ERROR_TYPE (a NULL among them), ERROR_OTHER_LOOP, -ENOMEM. */
int future_wait(struct future **fs, size_t count, int64_t timeout_ms, enum wait_when when,
                size_t *ret_done, size_t *ret_pending, struct err *e);

/* Awaits. As future_await(f), but at the timeout f is cancelled and its end is waited for: then
 * -ETIMEDOUT, or what f ended with instead of being cancelled. Where the caller is cancelled, so is
 * f; the return is -ECANCELED, once f has ended. A limit of 0 waits for nothing: f is cancelled
 * unless it is done. Borrows f. ERROR_TYPE (NULL), ERROR_OTHER_LOOP, -ENOMEM (then f goes on,
 * unless the limit was over). */
int wait_for(struct future *f, int64_t timeout_ms, void **ret_result, struct err *e);

#endif
