/* fd_table.h - who waits for which file descriptor: internal to the runtime. Runs on: the loop's
 * thread. Never awaits. The table is a part of the loop and ends with it; it keeps one entry for
 * every number seen, so that awaiting again and again allocates nothing here. A side lies in the
 * table, never on a task's stack: an unfinished task that a closing loop drops takes nothing along
 * that libev still points to. */
#ifndef RUNTIME_FD_TABLE_H
#define RUNTIME_FD_TABLE_H

#include "worker/runtime/internal.h"

#pragma GCC visibility push(hidden)

enum fd_way { FD_READ, FD_WRITE };

struct fd_side { /* one direction of one descriptor: free, a callback's, or a task's */
    ev_io io;
    struct loop_item item; /* in the ready queue while `queued` */
    struct loop *loop;     /* borrowed */
    loop_fn fn;            /* a callback's */
    void *arg;
    struct context *context;
    struct future *waiter; /* a task's: held; completed with 0 or a code as a boxed number */
    struct handle *alarm;  /* held: its deadline; NULL: none */
    unsigned turn;         /* counts owners */
    unsigned closed;       /* how often io_close closed the descriptor */
    bool queued;
    bool stale; /* what is queued belongs to an owner that has gone */
};

/* The side of fd, made where need be. 0; -EBADF, -ENOMEM, ERROR_CLOSED; ERROR_RUNTIME: a task's. */
int fd_side_get(struct loop *l, int fd, enum fd_way way, struct fd_side **ret_side, struct err *e);
struct fd_side *fd_side_find(struct loop *l, int fd, enum fd_way way); /* NULL: never made */
void fd_side_own(struct fd_side *s, loop_fn fn, void *arg);            /* replaces a callback */
void fd_side_lend(struct fd_side *s, struct future *f);                /* to a task; takes f */
void fd_side_complete(struct fd_side *s, int code);                    /* a task's: it goes on */
void fd_side_release(struct fd_side *s); /* free again; twice is fine */

#pragma GCC visibility pop

#endif
