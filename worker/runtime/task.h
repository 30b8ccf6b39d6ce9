/* task.h - a coroutine that the loop runs. Runs on: the loop's thread. Awaits only where said.
 * Errors: negative codes (error.h). Source: CPython 3.11 asyncio.Task.
 *
 *      created --first turn--> running <--> waiting (for a future, a deadline, its next turn)
 *         `--cancel--.            `---> finished | failed | cancelled
 *                    `--> cancelled, its body never runs
 *
 * Cancelling is an ordinary -ECANCELED from the await where the task stands; it may clean up and
 * await more; it is cancelled only if -ECANCELED leaves its body. Ownership: who creates gets a
 * reference (task_unref), the loop holds one until the task has ended; a task that is dropped
 * unfinished (only a closed loop does that) is reported; what it held on its stack is lost. */
#ifndef RUNTIME_TASK_H
#define RUNTIME_TASK_H

#include "worker/runtime/future.h"

/* On the running loop of this thread; gives. NULL: ERROR_NO_LOOP, ERROR_CLOSED, -ENOMEM. `name` is
 * copied; NULL: "Task-<number>". The first turn comes in the next iteration. */
struct task *task_create(coro_fn fn, void *arg, const char *name);
struct task *loop_create_task(struct loop *l, coro_fn fn, void *arg,
                              const char *name);         /* the same, on l */
int task_spawn(coro_fn fn, void *arg, const char *name); /* the same, keeping no reference */
/* Wraps an untouched coroutine object, which stays the caller's; ERROR_REUSED. */
struct task *task_wrap(struct coro *c, const char *name);

/* asyncio's ensure_future: gives a future for what can be awaited. A future or a task: shares that
 * same object; an untouched coroutine object: task_wrap. */
#define ensure_future(x)                  \
    _Generic((x), struct future *         \
             : future_ref, struct task *  \
             : task_ensure, struct coro * \
             : task_ensure_coro)(x)
struct future *task_ensure(struct task *t);
struct future *task_ensure_coro(struct coro *c);

struct task *task_ref(struct task *t); /* shares */
void task_unref(struct task *t);       /* NULL is fine */
struct future *
task_future(struct task *t); /* borrowed: the same object, for the functions of futures */
struct task *task_of(struct future *f); /* borrowed; NULL where f is no task */
const char *task_name(struct task *t); /* borrowed until the next task_name or task_set_name of t */
int task_set_name(struct task *t, const char *name); /* copied; NULL: the first one; -ENOMEM */
struct task *task_current(void); /* borrowed; NULL on another stack than a task's */

bool task_done(const struct task *t);
bool task_cancelled(const struct task *t);
bool task_cancel(struct task *t);                          /* true unless it is done */
bool task_cancel_because(struct task *t, const char *why); /* future_cancel_because */
unsigned task_cancelling(const struct task *t); /* cancellations asked for and not taken back */
unsigned task_uncancel(struct task *t);         /* takes one back; what remains */
int task_result(struct task *t, void **ret_result, struct err *e); /* as future_result */

/* Awaits. As future_await. */
int task_await(struct task *t, void **ret_result, struct err *e);
/* Awaits. 0 or -ECANCELED (-ENOMEM, ERROR_NO_TASK). 0 or less: one turn for every other ready task.
 */
int task_sleep(int64_t ms);
int task_sleep_until(int64_t deadline_ms); /* on the monotonic clock (loop_time_ms) */

#endif
