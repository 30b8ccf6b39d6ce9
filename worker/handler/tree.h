/* tree.h - all processes that a started one has brought into being.
 * Runs on: any thread, blocking for as long as /proc takes. Never awaits. Errors: what cannot be
 * read is not there. Source: man 2 prctl (PR_SET_CHILD_SUBREAPER), man 5 proc.
 *
 * What belongs to it: the leader's session and group, its descendants, and, where the leader's
 * session was left and the parents have ended, whatever carries the mark in its environment. This
 * process is the subreaper: whoever outlives its parents becomes a child of its main thread, so
 * nothing of a tree is ever found but below the leader or below such an orphan. With a cgroup all
 * that is in there belongs to it too. */
#ifndef WORKER_HANDLER_TREE_H
#define WORKER_HANDLER_TREE_H

#include <stdbool.h>
#include <sys/types.h>

#include "worker/handler/cgroup.h"

struct tree {
    pid_t leader;          /* of the session; not reaped as long as this is used */
    bool ended;            /* the leader has: it has no children any more */
    const char *mark;      /* borrowed: "NAME=value" that no other tree has */
    struct cgroup *cgroup; /* borrowed: they all began in there; NULL: in none */
};

void tree_adopt(void); /* from now on orphans become children of this process; twice is fine */

/* Something of it lives, the leader aside. Orphans of anybody that have ended are reaped. */
bool tree_is_left(const struct tree *t);
/* Reaps orphans of anybody that have ended. True: others live. */
bool tree_reap(void);
/* Sends the signal to all of it that lives, the leader too; reaps as above. Returns how many got
 * it. */
unsigned tree_signal(const struct tree *t, int signal);

#endif
