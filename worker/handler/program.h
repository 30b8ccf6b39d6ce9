/* program.h - a program as a queue's settings describe it: checked, started, and ended with all
 * that it has started.
 * Runs on: the worker's loop thread; program_check on any. Awaits only where said. Errors: negative
 * errno with a sentence. Units: milliseconds. Source: man 3 posix_spawn, DESIGN of the settings in
 * rpopd.conf(5).
 *
 * It leads a session and a group of its own, begins in `cwd`, holds none of the daemon's
 * descriptors, and has no signal blocked or ignored. Nothing of it outlives running_end. */
#ifndef WORKER_HANDLER_PROGRAM_H
#define WORKER_HANDLER_PROGRAM_H

#include <stdatomic.h>
#include <stdbool.h>

#include "common/conf.h"
#include "common/err.h"
#include "worker/runtime/process.h"

struct program; /* how a queue's is started; one a worker and queue */
struct running; /* one that was started */

/* What is wrong with the settings on this machine: the command is not there or must not be
 * executed, no interpreter, no such user or directory. 0, -ENOMEM, or -EINVAL with `handler.name:
 * what, allowed`. */
int program_check(const struct conf_queue *queue, struct err *e);

/* Gives; borrows the queue. NULL with *e: no memory. */
struct program *program_new(const struct conf_queue *queue, struct err *e);
struct program *program_free(struct program *p); /* takes; NULL is fine; returns NULL */

#define PROGRAM_ENV_MAX 8 /* variables of one start */

/* Starts it. `env`: at most PROGRAM_ENV_MAX variables more, NULL-terminated; the first of them
 * marks all that it starts, and is borrowed until running_free: no other's has this value. `pipes`:
 * PROCESS_STDIN, _STDOUT, _STDERR, PROCESS_PIPE(3). `early`: it need not have begun yet, all of
 * `env` is borrowed, and running_failed may tell what is told here otherwise. Awaits where the
 * launcher is needed (`user` and the like). 0; -ENOMEM, -EMFILE, -ENFILE, -EAGAIN (no process):
 * err_is_shortage; -ECANCELED; else it cannot be started, and the sentence says why. */
int running_start(struct program *p, const char *const env[], unsigned pipes, bool early,
                  struct running **ret_running, struct err *e);

struct process *running_process(struct running *r); /* borrowed: its pipes, its number */
/* Awaits its end, as process_await_end does: it is not reaped before running_end. */
int running_await_end(struct running *r, int64_t deadline_ms, struct err *e);
/* It has ended, and nothing that it started lives. Never awaits. */
bool running_has_ended(struct running *r);
/* Awaits: TERM to all of it that lives, KILL to what is left after kill_grace; where *at_once is or
 * becomes set, and where the task is cancelled meanwhile, KILL without more grace. Where nothing
 * lives any more this suspends nobody. Returns its exit status, or -(the signal that ended it). */
int running_end(struct running *r, const atomic_bool *at_once);
/* Of an early one, after running_end: 0, or the code and the sentence that say why it could not be
 * started; then nothing of it ever ran. */
int running_failed(const struct running *r, struct err *e);

/* One that nobody awaits may pass to another worker, see process_leave: until running_join, any one
 * thread may signal and free it, and running_join brings it under this worker's program of the same
 * queue. 0; -ENOMEM: it belongs to none still. */
void running_leave(struct running *r);
int running_join(struct running *r, struct program *p, struct err *e);
/* Sends the signal to all of it that lives. Blocks for as long as /proc takes. */
void running_signal(struct running *r, int signal);

/* Takes; kills where running_end was not called. The pipes that were taken are the taker's. NULL is
 * fine; returns NULL. */
struct running *running_free(struct running *r);

#endif
