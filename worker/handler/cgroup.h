/* cgroup.h - a cgroup for each program that runs, where cgroup v2 may be written: what is in there
 * ends as a whole, whatever it has done to its session and its environment.
 * Runs on: any thread; the cgroups of one owner on one. Never awaits: a few calls to the kernel's
 * own file system. Errors: without one (NULL) a tree is found by other means (tree.h). Source: the
 * kernel's cgroup-v2.rst, systemd's CGROUP_DELEGATION.md.
 *
 * They lie in `rpopd-<pid>` below the cgroup that this process is in, no controller is enabled for
 * them, and one that was not killed is used again. */
#ifndef WORKER_HANDLER_CGROUP_H
#define WORKER_HANDLER_CGROUP_H

#include <limits.h>
#include <stdbool.h>

struct cgroups; /* of one owner */
struct cgroup {
    struct cgroup *next;
    bool killed;            /* what is started in it later may be killed too, on some kernels */
    int directory, members; /* descriptors: of itself and of its cgroup.procs */
    char path[];            /* its directory */
};

/* The directory of the cgroup that this process is in; false: there is none. */
bool cgroups_root(char out[PATH_MAX]);
/* Gives; removes what processes that are gone have left there. NULL: nothing can be made below
 * `root`, or no cgroup can be killed there (before Linux 5.14). */
struct cgroups *cgroups_new(const char *root);
/* Takes; removes what is empty. NULL is fine; returns NULL. */
struct cgroups *cgroups_free(struct cgroups *c);

/* 0 and an empty one, the caller's until cgroup_give, or NULL where none can be made, or c is NULL.
 * -ENOMEM, -EMFILE ...: there is a shortage now. */
int cgroup_take(struct cgroups *c, struct cgroup **ret_one);
/* Takes, empty or killed; NULL is fine. To any owner of this process, or to none (NULL): then it is
 * removed. */
void cgroup_give(struct cgroups *c, struct cgroup *one);
/* Ends all that is in it. False: it cannot. */
bool cgroup_kill(struct cgroup *one);

#endif
