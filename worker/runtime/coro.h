/* coro.h - the coroutine object: inert until it is awaited, wrapped in a task, or resumed by hand.
 * Runs on: one thread, the first that resumes it. Errors: negative codes (error.h).
 * Source: CPython's coroutine objects. The switch beneath is coro_ctx.h. */
#ifndef RUNTIME_CORO_H
#define RUNTIME_CORO_H

#include "common/err.h"

/* The body of a coroutine: 0 and *ret_result (NULL unless set), or a negative code with *e filled.
 * -ECANCELED leaving it means cancelled. Awaiting a nested coroutine is a plain C call of it. */
typedef int (*coro_fn)(void *arg, void **ret_result, struct err *e);

struct coro;

struct coro *coro_new(coro_fn fn, void *arg); /* gives; NULL with errno set */
/* Takes; one that is suspended is dropped where it stands, and must not run. NULL is fine; returns
 * NULL. */
struct coro *coro_free(struct coro *c);
/* Awaits: runs it here, as a call. ERROR_REUSED where it was awaited, wrapped or resumed before. */
int coro_await(struct coro *c, void **ret_result, struct err *e);
/* By hand, without a loop: runs it to its next coro_yield: 1, or to its end: 0 and *ret_result, or
 * its negative code; ERROR_REUSED when it has ended before, -EINVAL while it runs, ERROR_RUNTIME on
 * another thread than before, -ENOMEM. `ret_result` may be NULL. What awaits the loop in it gets
 * ERROR_NO_TASK, in a task too. */
int coro_resume(struct coro *c, void **ret_result, struct err *e);
/* Gives up control to the one who resumes by hand; ERROR_RUNTIME outside of such a coroutine. */
int coro_yield(struct err *e);
/* Takes the body out of an untouched object, to wrap it in a task: ERROR_REUSED else. */
int coro_consume(struct coro *c, coro_fn *ret_fn, void **ret_arg, struct err *e);

#endif
