/* recovery.h - one recovery of a queue, as its files share it: recover.c (its life, scan, fence,
 * mark), compare.c, adopt.c, take.c. Nobody else includes it. Runs on: master. Never awaits; each
 * step ends in a command whose answer begins the next, or in recover_give_up, which takes the
 * recovery. */
#ifndef DAEMON_RECOVERY_H
#define DAEMON_RECOVERY_H

#include "daemon/entries.h"
#include "daemon/queue.h"

#define RECOVER_OUT 128 /* questions about batches that are out at once */

/* One of them: it outlives a recovery that is given up. */
struct recover_call {
    struct recovery *of; /* NULL: that one is over */
    struct queue *queue;
    struct batch *batch;
    size_t entry; /* which it is about */
    struct recover_call *next;
};

struct recovery {
    struct queue *queue;
    struct epoch *epoch; /* it is about this one: another registration makes it void */
    struct epochs open;
    struct entries entries;
    size_t at; /* the entry or epoch that is looked at */
    unsigned took;
    struct batch *batch;        /* being sized, not in memory; or the last that is compared */
    struct recover_call *calls; /* oldest first, which is the order of their answers */
    unsigned out;               /* ... how many */
    unsigned newer;             /* entries of a newer version: left alone */
    const struct entry *newest; /* one of them */
    bool paused;                /* something is left that may not be taken now */
    bool refused;               /* something could not be looked at or taken */
};

/* ---- recover.c ---- */

/* It could not be finished: a cut, a refusal, no memory. Takes x; another one begins soon. */
void recover_give_up(struct recovery *x);
/* An answer that cannot be used ends it; true then, and x is taken. */
bool recover_unusable(struct recovery *x, const struct redis_reply *r, enum redis_type wanted);
/* It stands still until there is a free slot (recover_kick), or goes on. */
void recover_wait(struct queue *q, bool waiting);
/* One batch or epoch could not be looked at: it goes on with the next. */
void recover_passed_over(struct recovery *x, const struct redis_reply *r);
/* Fences the epochs that dead runs of this host left, from entry x->at on. */
void recover_fence(struct recovery *x) RUNS_ON(on_master);
/* Marks open epochs of which nothing is left, from epoch x->at on. */
void recover_mark(struct recovery *x) RUNS_ON(on_master);
void recover_scan(struct recovery *x, const char *cursor) RUNS_ON(on_master);

/* Gives; NULL on no memory. To be sent over the work link as the last thing that is asked. */
struct recover_call *recover_call_new(struct recovery *x, struct batch *b);
/* It was answered, or not sent: takes it. The recovery, or NULL where that is over. */
struct recovery *recover_call_end(struct recover_call *call);

/* ---- compare.c ---- */

/* From batch b of memory on. */
void compare_next(struct recovery *x, struct batch *b) RUNS_ON(on_master);

/* ---- adopt.c ---- */

/* Watches entries that belong to nobody; take_next follows. */
void adopt_strays(struct recovery *x) RUNS_ON(on_master);

/* ---- take.c ---- */

/* From entry x->at on. */
void take_next(struct recovery *x) RUNS_ON(on_master);

#endif
