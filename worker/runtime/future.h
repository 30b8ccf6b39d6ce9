/* future.h - a result that comes later. Runs on: the loop's thread. Awaits only where said.
 * Errors: negative codes (error.h). Source: CPython 3.11 asyncio.Future.
 *
 *     pending --set_result--> finished      Completing calls nobody: the done callbacks are queued
 *        |----set_error-----> failed        like call_soon, in order of registration, and the
 *        `----cancel--------> cancelled     tasks that await it with them.
 *
 * Ownership: counted references, not atomic. A result is an opaque pointer, borrowed by who reads
 * it; with future_own_result the future frees it at its end. An error that was never looked at is
 * reported to the loop's exception handler when the last reference goes. A task is a future too
 * (task_future). */
#ifndef RUNTIME_FUTURE_H
#define RUNTIME_FUTURE_H

#include <stdbool.h>

#include "worker/runtime/loop.h"

typedef void (*future_fn)(struct future *f, void *arg); /* f is borrowed */

struct future *loop_create_future(struct loop *l); /* gives; NULL with errno set */
struct future *future_ref(struct future *f);       /* shares */
void future_unref(struct future *f);               /* NULL is fine */
struct loop *future_loop(const struct future *f);  /* borrowed */

bool future_done(const struct future *f);
bool future_cancelled(const struct future *f);
int future_set_result(struct future *f,
                      void *result); /* ERROR_INVALID_STATE; ERROR_RUNTIME for a task */
int future_set_error(struct future *f, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Takes x, on failure too. As above; ERROR_TYPE: x is NULL, f stays as it is. */
int future_set_exception(struct future *f, struct error *x);
void future_own_result(struct future *f, void (*free_result)(void *result));
/* True unless it was done. A task is asked to cancel; what gathers is cancelled with its children.
 */
bool future_cancel(struct future *f);
/* The same with a message, which is the sentence of the -ECANCELED that comes of it: in the *e of
 * who awaits, handed on as long as *e is. Copies `why`; without memory there is no message. */
bool future_cancel_because(struct future *f, const char *why);

/* 0 and *ret_result (NULL is fine); the code it failed with; -ECANCELED; ERROR_INVALID_STATE while
 * pending. This counts as looking at the error. */
int future_result(struct future *f, void **ret_result, struct err *e);
/* 0 and the error (borrowed; NULL: none, or no memory was left to keep its text); -ECANCELED;
 * ERROR_INVALID_STATE. */
int future_exception(struct future *f, const struct error **ret_error, struct err *e);
int future_code(const struct future
                    *f); /* 0, -ECANCELED or the code it failed with; does not count as looking */

int future_add_done_callback(struct future *f, future_fn fn,
                             void *arg); /* 0, -ENOMEM, ERROR_CLOSED */
int future_remove_done_callback(struct future *f, future_fn fn,
                                void *arg); /* how many were removed */

/* Awaits. As future_result, once it is done; -ECANCELED also where the awaiting task is cancelled.
 * What is done already does not suspend. f may lose its last other reference meanwhile.
 * ERROR_NO_TASK, ERROR_OTHER_LOOP, ERROR_AWAITS_ITSELF. */
int future_await(struct future *f, void **ret_result, struct err *e);

#endif
