/* child_clone.h - starts a program inside a cgroup, as posix_spawn does it outside of any: internal
 * to the runtime. Runs on: any thread, on its own stack; the thread stands still until the program
 * has begun. Never awaits. Errors: negative errno. Source: man 2 clone3 (CLONE_INTO_CGROUP),
 * glibc's spawni.c.
 *
 * glibc can do this from 2.39 on. Being moved after its start is no substitute: what it forks
 * before stays outside, and each move waits for a grace period of the kernel. Memory is shared
 * until the program begins (CLONE_VM | CLONE_VFORK), so it costs the same however large this
 * process is. */
#ifndef RUNTIME_CHILD_CLONE_H
#define RUNTIME_CHILD_CLONE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct child_clone {  /* borrowed */
    const char *file; /* a path */
    char *const *argv, *const *envp;
    const int *ends; /* descriptors that become 0, 1 ... ; -1: as it is. None is below nends */
    size_t nends;
    int close_from;        /* -1: nothing is closed */
    const char *directory; /* NULL: this program's */
    bool session;
    int cgroup; /* descriptor of its directory */
};

/* The system call is there and no filter is in front of it (RestrictNamespaces= of systemd is one).
 */
bool child_clone_works(void);
/* 0; what exec or a step before it failed with; -ENOSYS: this system cannot do it. */
int child_clone(const struct child_clone *c, pid_t *ret_pid, int *ret_pidfd);

#endif
