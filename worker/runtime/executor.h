/* executor.h - functions that block run on threads of their own, so that the loop goes on.
 * Runs on: the loop's thread, unless said otherwise; awaits only where said; the functions handed
 * over run on a pool's thread (on_pool), may block and must not await. Errors: negative codes; NULL
 * with errno set. Jobs of one executor start in the order of submission; one that has begun cannot
 * be stopped: cancelling its future only detaches it, and what it returns is dropped. Source:
 * CPython 3.11 concurrent.futures.ThreadPoolExecutor, loop.run_in_executor, asyncio.to_thread. */
#ifndef RUNTIME_EXECUTOR_H
#define RUNTIME_EXECUTOR_H

#include "worker/runtime/future.h"

/* As a coroutine's body, but on a pool's thread: 0 and *ret_result, or a negative code and *e. */
typedef int (*executor_fn)(void *arg, void **ret_result, struct err *e);

struct executor;

#define EXECUTOR_AS_NEEDED (~0u)
/* A pool of up to max_threads (0: CPUs + 4, at most 32), started as they are needed; a job waits
 * for one of them where no more can be started. EXECUTOR_AS_NEEDED: none waits, it is refused with
 * -EAGAIN then. Any thread. Gives. */
struct executor *executor_new(unsigned max_threads);
struct executor *executor_ref(struct executor *x); /* shares; any thread */
/* Drops a reference; the last one shuts it down without waiting. Any thread; NULL is fine. */
void executor_unref(struct executor *x);
/* Takes no more jobs; what was taken is run, or with `cancel` the futures of what has not begun are
 * cancelled. wait: blocks the calling thread until all threads have ended. Any thread but its own;
 * twice is fine. */
void executor_shutdown(struct executor *x, bool wait, bool cancel);

/* Gives the future of fn(arg) on a thread of x; NULL as x: the loop's default executor. NULL with
 * ERROR_EXECUTOR_SHUTDOWN (the default one was shut down), ERROR_RUNTIME (x was: "cannot schedule
 * new futures after shutdown"), ERROR_TYPE (x is a pool of processes: process_pool.h),
 * ERROR_NO_LOOP, ERROR_CLOSED, -ENOMEM, -EAGAIN (no thread, see executor_new). */
struct future *run_in_executor(struct executor *x, executor_fn fn, void *arg);
/* The same; takes arg, on failure too: free_arg(arg) once fn has run or never will, on any thread.
 */
struct future *run_in_executor_taking(struct executor *x, executor_fn fn, void *arg,
                                      void (*free_arg)(void *arg));
/* As run_in_executor, for a loop that need not run yet. */
struct future *loop_run_in_executor(struct loop *l, struct executor *x, executor_fn fn, void *arg);

/* Awaits fn(arg) on the default executor, in a copy of this task's context. Errors: fn's, those of
 * run_in_executor; ERROR_NO_TASK and -ECANCELED (fn may still run then, and use arg). */
int to_thread(executor_fn fn, void *arg, void **ret_result, struct err *e);

/* Shares x: it is the loop's default executor from here. 0; ERROR_CLOSED, -ENOMEM, ERROR_TYPE (x is
 * no pool of threads), ERROR_EXECUTOR_SHUTDOWN (after loop_shutdown_default_executor). */
int loop_set_default_executor(struct loop *l, struct executor *x);
/* Awaits until the default executor has run what it was given and its threads have ended.
 * -ECANCELED: blocks the loop until then. ERROR_CLOSED, ERROR_NO_TASK, ERROR_OTHER_LOOP, -ENOMEM.
 */
int loop_shutdown_default_executor(struct loop *l, struct err *e);

#endif
