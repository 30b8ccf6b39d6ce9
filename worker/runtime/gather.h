/* gather.h - one future for many: their results in the order of the arguments.
 * Runs on: the loop's thread. Never awaits: what it gives is awaited. Errors: NULL with errno set.
 * Source: CPython 3.11 asyncio.gather.
 *
 * The first error (a cancelled child is one, -ECANCELED) completes the gather at once; the other
 * children go on and their errors count as looked at. With GATHER_RETURN_ERRORS it waits for all,
 * and an error is a result like others. Cancelling a gather cancels all children; it is done when
 * they are, failed with -ECANCELED, also with GATHER_RETURN_ERRORS.
 *
 * Ownership: the gather holds its children until it is done or nobody holds it; then it lives on by
 * itself until they are done. The results are borrowed, with the values in them, until its last
 * reference goes. */
#ifndef RUNTIME_GATHER_H
#define RUNTIME_GATHER_H

#include "worker/runtime/future.h"

#define GATHER_RETURN_ERRORS 1u

struct gathered {
    int code; /* 0 and value; -ECANCELED; or what it failed with, and its error */
    void *value;
    const struct error *error; /* NULL: none, or no memory was left to keep its text */
};

/* Gives; borrows the array, shares the futures; the same one may be there twice. Its result is a
 * `const struct gathered *`, one for each argument. Nothing to gather: done at once (needs a
 * running loop: ERROR_NO_LOOP). ERROR_TYPE (a NULL among them), ERROR_OTHER_LOOP (they are not of
 * one loop), ERROR_CLOSED, -ENOMEM. */
struct future *future_gather(struct future *const *fs, size_t count, unsigned flags);

struct gather_call { /* a coroutine to run as a task */
    coro_fn fn;
    void *arg;
};

/* The same for new tasks on the running loop, that nobody else holds. Where there is no memory none
 * of them runs. */
struct future *gather_calls(const struct gather_call *calls, size_t count, unsigned flags);

#endif
