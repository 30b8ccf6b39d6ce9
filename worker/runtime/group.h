/* group.h - tasks that end together: a block is left only when all its tasks have ended.
 * Runs on: the loop's thread, in one task, the parent. Awaits only where said. Errors: negative
 * codes. Source: CPython 3.11 asyncio.TaskGroup.
 *
 *     struct group *g = group_new(e);
 *     if (!g)
 *         return e->code;
 *     r = group_create_task(g, fetch, page, NULL, NULL, e);
 *     r = group_exit(g, r, e);
 *     g = group_free(g);
 *
 * The first task that fails (being cancelled is no failure) has the others cancelled, and the
 * parent too where it still is in the block; group_exit takes that cancellation back. A block that
 * is left with an error, or a parent that is cancelled, has all tasks cancelled as well. */
#ifndef RUNTIME_GROUP_H
#define RUNTIME_GROUP_H

#include "worker/runtime/task.h"

struct group;

/* Begins the block of the current task. Gives; NULL with *e and errno set: ERROR_NO_TASK, -ENOMEM.
 */
struct group *group_new(struct err *e);
/* Takes, after group_exit. Without it the tasks are cancelled and go on by themselves. NULL is
 * fine; returns NULL. */
struct group *group_free(struct group *g);

/* A task of the group; also its tasks may call this. *ret_task is given; NULL: no reference is
 * kept. ERROR_RUNTIME (the group is shutting down, or finished), -ENOMEM. */
int group_create_task(struct group *g, coro_fn fn, void *arg, const char *name,
                      struct task **ret_task, struct err *e);

/* Awaits: ends the block, which came to `code` and *e, once, by the parent. 0; -ECANCELED where the
 * parent was cancelled and nothing failed; ERROR_GROUP where tasks or the block failed: the errors
 * are kept, see group_error. ERROR_INTERRUPT of a task or the block comes out as it is. -ENOMEM:
 * it could not wait: all tasks were cancelled and go on by themselves. ERROR_RUNTIME (it was left
 * before; another task than the parent calls), ERROR_NO_TASK: nothing has changed. */
int group_exit(struct group *g, int code, struct err *e);

size_t group_errors(const struct group *g); /* how many there are */
/* The errors of the tasks as they came, then the block's; fills *e and returns the code; 0: there
 * is none of this number. */
int group_error(const struct group *g, size_t number, struct err *e);

#endif
