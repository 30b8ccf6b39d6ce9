/* run.h - asyncio.run: a new loop, one coroutine, an orderly end. Runs on: any thread that runs no
 * loop. Never awaits. Source: CPython 3.11 asyncio.Runner. The end: all tasks that are left are
 * cancelled at once and waited for, errors they raise then are reported, the loop's parts (default
 * executor) are shut down, the loop is closed; then run returns. */
#ifndef RUNTIME_RUN_H
#define RUNTIME_RUN_H

#include "worker/runtime/loop.h"

/* 0 and the coroutine's result, or its code; ERROR_NESTED_RUN, -ENOMEM. `ret_result` may be NULL.
 */
int run(coro_fn fn, void *arg, void **ret_result, struct err *e);

/* The end alone, for a hand-made loop that does not run; it stays open. 0 or what stopped it:
 * ERROR_RUNNING, ERROR_OTHER_RUNNING, -ENOMEM. */
int run_teardown(struct loop *l, struct err *e);

#endif
