/* child_clone.h - starts a program by clone3, as posix_spawn does it, and does two things that
 * posix_spawn cannot: begin in a cgroup, and go on before the program has begun. Internal to the
 * runtime.
 * Runs on: any thread, on its own stack. Never awaits. Errors: negative errno. Source: man 2 clone3
 * (CLONE_INTO_CGROUP), glibc's spawni.c.
 *
 * Begin in a cgroup: glibc can do this from 2.39 on. Being moved after its start is no substitute:
 * what it forks before stays outside, and each move waits for a grace period of the kernel.
 *
 * Go on (`early`): of the time that a start takes, nearly all is the kernel's in execve, and with
 * posix_spawn the caller stands still for it, so that one thread never begins two programs at once.
 * Here they begin beside each other, and beside the thread's other work.
 *
 * Memory is shared until the program begins (CLONE_VM), so it costs the same however large this
 * process is. What the child needs until then stands in a block of its own, the birth, which stays
 * until the child has ended. */
#ifndef RUNTIME_CHILD_CLONE_H
#define RUNTIME_CHILD_CLONE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct birth;

struct child_clone {  /* the texts are borrowed until the child has ended, the rest is copied */
    const char *file; /* a path */
    char *const *argv, *const *envp;
    const int *ends; /* descriptors that become 0, 1 ... ; -1: as it is. None is below nends */
    size_t nends;    /* at most CHILD_ENDS_MAX */
    int close_from;  /* -1: nothing is closed */
    const char *directory; /* NULL: this program's */
    bool session;
    int cgroup; /* descriptor of its directory; 0: in this program's */
    bool early; /* does not wait until the program has begun: birth_code tells what came of it */
};

#define CHILD_ENDS_MAX 8

/* The system call is there and no filter is in front of it (RestrictNamespaces= of systemd is one).
 */
bool child_clone_works(void);
/* 0; what exec or a step before it failed with (not where it is early); -ENOSYS: this system cannot
 * do it. Gives the birth, which is to be freed once the child has ended. */
int child_clone(const struct child_clone *c, pid_t *ret_pid, int *ret_pidfd,
                struct birth **ret_birth);
/* Of a child that has ended: 0, or what exec or a step before it failed with. */
int birth_code(const struct birth *b);
struct birth *birth_free(struct birth *b); /* takes; NULL is fine; returns NULL */

#endif
