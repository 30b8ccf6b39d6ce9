/* child.h - a child process known by its pidfd: internal to the runtime. Runs on: any thread; one
 * at a time for each child. Never awaits. Errors: negative errno. Source: man 3 posix_spawn, man 2
 * pidfd_open. Only this child is ever reaped, never another one of this program. */
#ifndef RUNTIME_CHILD_H
#define RUNTIME_CHILD_H

#include <spawn.h>
#include <stdbool.h>
#include <sys/types.h>

struct child_clone; /* child_clone.h */
struct birth;

struct child { /* stays where it is from child_start until it is reaped */
    pid_t pid;
    int pidfd;  /* -1: none */
    int status; /* once it was reaped: its exit status, or -(the signal that killed it) */
    int failed; /* likewise: 0, or what kept it from becoming the program */
    bool reaped;
    struct birth *birth;       /* its own until it is reaped; NULL: none */
    struct child *next, *prev; /* among all that are not reaped */
};

struct child_plan {                        /* borrowed */
    const char *program;                   /* looked for in PATH unless there is a slash in it */
    const char *const *argv, *const *envp; /* envp NULL: this program's */
    const posix_spawn_file_actions_t *files;
    bool session; /* it leads a session and a group of its own */
};

/* Blocks until it has begun. No signal is blocked in it, and SIGPIPE is the default. Takes 2 KiB of
 * stack. What posix_spawn or pidfd_open failed with: *c is as it was. */
int child_start(struct child *c, const struct child_plan *plan);
/* The same in a cgroup, or without waiting until it has begun. -ENOSYS: this system cannot do it.
 */
int child_start_by_clone(struct child *c, const struct child_clone *plan);
/* True once it has ended; block: waits for that. Status 255 where SIGCHLD is ignored. */
bool child_reap(struct child *c, bool block);
bool child_has_ended(const struct child *c);         /* the same, and leaves it unreaped */
int child_signal(const struct child *c, int signal); /* 0; -ESRCH: it has been reaped */
/* Some child_start started it, and it has not been reaped. */
bool child_is_known(pid_t pid);
void child_kill_all(void); /* those that are known, each with the group that it leads */

#endif
