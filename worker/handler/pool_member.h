/* pool_member.h - one child of a pool.
 * Runs on: the worker's loop thread, while it belongs to a loop; between pool_member_leave and
 * pool_member_join any one thread. Awaits only where said. Errors: negative errno with a sentence.
 * Units: milliseconds, bytes. */
#ifndef WORKER_HANDLER_POOL_MEMBER_H
#define WORKER_HANDLER_POOL_MEMBER_H

#include "worker/handler/pool_talk.h"
#include "worker/handler/program.h"

struct pool_member {
    struct pool_member *next; /* pool_shared.c's */
    struct running *running;
    struct pool_talk pipes; /* without `hear` */
    pid_t pid;
    unsigned jobs; /* it has answered */
    unsigned turn; /* of its start, see pool_shared_start */
    int keeper;    /* while it is idle: the epoll that its end is told to; -1: none */
    char mark[64]; /* in its environment and that of all it starts */
};

/* Starts one; awaits as running_start does, with its errors. */
int pool_member_start(struct program *p, const struct conf_queue *queue,
                      struct pool_member **ret_member, struct err *e);

void pool_member_leave(struct pool_member *m);
/* Into the running loop, and under this worker's program. 0 or -ENOMEM. */
int pool_member_join(struct pool_member *m, struct program *p, struct err *e);

int64_t pool_member_rss(const struct pool_member *m); /* bytes; -1: not known */

/* Takes. Awaits its end and that of all it has started: an end of file, `patience_ms` for it to
 * leave by itself, then as running_end. Hears its last words. Returns its exit status, or -(the
 * signal that ended it); *ret_own: by itself. */
int pool_member_end(struct pool_member *m, int64_t patience_ms, const atomic_bool *at_once,
                    bool *ret_own);

/* Takes; kills what it has left behind. Of one that has no job, in the running loop or in none. */
void pool_member_free(struct pool_member *m);

/* ---- of one that belongs to no loop ---- */
void pool_member_dismiss(struct pool_member *m); /* an end of file */
/* Takes the list. Waits, on this thread, until those that were dismissed have ended: a moment for
 * them to leave by themselves, TERM, a moment, KILL; where handler_at_once is set KILL alone. */
void pool_member_end_all(struct pool_member *first);

#endif
