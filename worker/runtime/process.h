/* process.h - a child process, its pipes and its end. Runs on: the loop's thread. Errors: negative
 * codes and *e. Source: CPython 3.11 asyncio.create_subprocess_exec; man 3 posix_spawn, man 2
 * pidfd_open.
 *
 * Started by posix_spawn, or by clone3 where that is not enough, and waited for by its pidfd alone:
 * other children of this program are never reaped. No child outlives its owner: process_free kills,
 * and the loop reaps without waiting; its end (run_teardown, loop_close) waits for those that are
 * left. */
#ifndef RUNTIME_PROCESS_H
#define RUNTIME_PROCESS_H

#include <sys/types.h>

#include "worker/runtime/loop.h"

struct process;

#define PROCESS_STDIN 1u /* a pipe instead of this program's own descriptor */
#define PROCESS_STDOUT 2u
#define PROCESS_STDERR 4u
#define PROCESS_PIPE(number) (1u << (number)) /* likewise: 3 and 4 are written by it */
#define PROCESS_PIPES 5

struct process_options { /* borrowed */
    const char *program; /* the file, looked for in PATH unless it has a slash; NULL: argv[0] */
    const char *const *argv, *const *envp; /* envp NULL: this program's */
    unsigned pipes;
    const char *directory; /* it begins there; NULL: in this program's */
    bool session;          /* it leads a session and a group of its own */
    bool alone;            /* only 0, 1, 2 and its pipes are open in it */
    int cgroup;            /* descriptor of a directory of cgroup v2: it begins in there, where the
                              system can do that and `program` has a slash; 0: in this program's */
    bool early;            /* does not wait until it has begun, where the system can do that and
                              `program` has a slash: the texts are borrowed until process_free, and
                              process_failed tells what could not be done */
};

/* Gives. No signal is blocked in it, and none is ignored. Never awaits. NULL with errno set and *e:
 * ERROR_NO_LOOP, what posix_spawn failed with, -EMFILE, -EINVAL (argv is empty) ... */
struct process *process_start(const struct process_options *o, struct err *e);
/* Whether the system lets a child begin in a cgroup, and early. Any thread. */
bool process_begins_in_cgroups(void);
/* The same with the rest left as it is. */
struct process *process_spawn(const char *const argv[], const char *const envp[], unsigned pipes,
                              struct err *e);
/* Takes: closes the pipes that were not taken, kills it where it still runs; a task that waits for
 * its end gets it. NULL is fine; returns NULL. Never awaits. On the loop it was made on. */
struct process *process_free(struct process *p);
pid_t process_pid(const struct process *p);

/* Gives this end of its descriptor 0 to 4, non-blocking; -1: no pipe, or taken already. */
int process_take_pipe(struct process *p, int number);

/* 0; -ESRCH: it has been waited for. */
int process_signal(struct process *p, int signal);

/* Awaits its end: 0 and its exit status, or -(the signal that killed it), in *ret_status; again and
 * again the same; 255 where SIGCHLD is ignored. One task at a time: ERROR_RUNTIME. -ETIMEDOUT and
 * -ECANCELED: it was killed (process_free or another wait reaps). */
int process_wait(struct process *p, int64_t deadline_ms, int *ret_status, struct err *e);
/* Awaits its end and leaves it unreaped, so that its number, its group's and its session's stay its
 * own: process_wait takes it then. Suspends nobody once it has ended. 0; ERROR_RUNTIME as above;
 * -ETIMEDOUT and -ECANCELED: nothing was done to it. */
int process_await_end(struct process *p, int64_t deadline_ms, struct err *e);
bool process_has_ended(const struct process *p); /* never awaits */
/* Of one that was waited for: 0, or what process_start would have failed with had it waited until
 * the program began; the status says nothing then. */
int process_failed(const struct process *p);

/* One that nobody waits for may go on in another loop. Until process_join it belongs to none: any
 * one thread may ask for its pid and pidfd, signal and free it (which then waits for its end). The
 * pipes that were not taken stay with it; callbacks on those that were must be gone. */
void process_leave(struct process *p);
/* Into the running loop. 0; -ENOMEM, ERROR_NO_LOOP: it belongs to none still. */
int process_join(struct process *p, struct err *e);
int process_pidfd(const struct process *p); /* borrowed: readable once it has ended */

/* It is a child that was started by the runtime and not reaped yet: no orphan. Any thread. */
bool process_is_known(pid_t pid);
/* KILL to all of them, each with the group that it leads: this program ends. Any thread. */
void process_kill_all(void);

#endif
