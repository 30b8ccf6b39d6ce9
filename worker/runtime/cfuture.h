/* cfuture.h - a result that another thread waits for. Runs on: any thread, unless said otherwise.
 * Never awaits: cfuture_result blocks the calling thread. Errors: negative codes (error.h). Source:
 * concurrent.futures.Future and asyncio.run_coroutine_threadsafe (CPython 3.11). Ownership: counted
 * references, atomic. The result is an opaque pointer, borrowed. */
#ifndef RUNTIME_CFUTURE_H
#define RUNTIME_CFUTURE_H

#include "worker/runtime/loop.h"

struct cfuture;
typedef void (*cfuture_fn)(struct cfuture *f, void *arg); /* f is borrowed */

/* Runs fn(arg) as a task on l. Gives; NULL: ERROR_CLOSED, -ENOMEM. What one thread submits starts
 * in order. */
struct cfuture *run_coroutine_threadsafe(struct loop *l, coro_fn fn, void *arg, const char *name);

struct cfuture *cfuture_new(void); /* gives: one that somebody else completes (executors) */
struct cfuture *cfuture_ref(struct cfuture *f); /* shares */
void cfuture_unref(struct cfuture *f);          /* NULL is fine */

bool cfuture_done(const struct cfuture *f); /* finished, failed or cancelled */
bool cfuture_cancelled(const struct cfuture *f);
bool cfuture_running(const struct cfuture *f);
/* True unless it runs in an executor or is done. Final for who waits; a task is asked to cancel. */
bool cfuture_cancel(struct cfuture *f);

/* Blocks up to timeout_ms (-1: for ever). 0 and the result, its code, -ECANCELED, or -ETIMEDOUT
 * with an empty sentence: nothing is disturbed. Not on the loop's own thread: it would wait for
 * itself. */
int cfuture_result(struct cfuture *f, int64_t timeout_ms, void **ret_result, struct err *e);
/* The same for the error: 0 and NULL where it has a result; borrowed from f. */
int cfuture_exception(struct cfuture *f, int64_t timeout_ms, const struct error **ret_error,
                      struct err *e);

/* Called once, on the completing thread (the loop's, or who cancels), in order; at once on this one
 * where it is done already. -ENOMEM. */
int cfuture_add_done_callback(struct cfuture *f, cfuture_fn fn, void *arg);

/* -- for who completes it -- */
bool cfuture_set_running(struct cfuture *f); /* false: cancelled or begun: do not start */
int cfuture_set_result(struct cfuture *f, void *result); /* ERROR_INVALID_STATE when done */
int cfuture_set_exception(struct cfuture *f, int code,
                          struct error *x); /* takes x (NULL: no text) */

#endif
