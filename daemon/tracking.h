/* tracking.h - many queues: which of them has something, told by Redis and not asked in turn.
 * Runs on: master. Never awaits. Errors: NULL on no memory. Units: milliseconds.
 * Two links. The reader reads how long a list is, whether its queue is paused, whether anything
 * waits for its time, and where rest.c asks for it whether anything is in flight; by that Redis
 * remembers these keys, once. When one changes, the other link hears its name (CLIENT TRACKING,
 * redirected), and what it stands for is read again. The hearer's death is silent on the reader: it
 * is asked for every few seconds. A slow sweep reads everything all the same. Where the user may
 * not track, everything is read every second, and that is said. Source: Redis' client-side caching
 * in the RESP2 form. */
#ifndef DAEMON_TRACKING_H
#define DAEMON_TRACKING_H

#include <stdbool.h>
#include <stddef.h>

#include "common/thread.h"

struct master;
struct queue;
struct tracking;

enum tracked {
    TRACKED_LIST = 1,
    TRACKED_PAUSED = 2,
    TRACKED_RETRY = 4,
    TRACKED_DELAYED = 8,
    TRACKED_BATCHES = 16,
    TRACKED_PASSAGE = 32,
    TRACKED_IN_FLIGHT = 48,
    TRACKED_ALL = 63,
};

/* Gives; NULL on no memory. The master's queues are all there. */
struct tracking *tracking_new(struct master *m) RUNS_ON(on_master);
struct tracking *tracking_free(struct tracking *t) RUNS_ON(on_master); /* takes; NULL is fine */
/* What is known of q is out of date: read at the turn's end. */
void tracking_stale(struct queue *q, enum tracked what);
/* What was read is heard of when it changes. NULL: it is not. */
bool tracking_hears(const struct tracking *t);
/* The end of a turn: reads what is out of date. */
void tracking_turn(struct tracking *t) RUNS_ON(on_master);

/* The names that are tracked, in order, and what each stands for. */
struct tracked_key {
    const char *name; /* borrowed */
    struct queue *queue;
    enum tracked what;
};
void tracked_sort(struct tracked_key *keys, size_t n);
/* NULL: none of them. */
const struct tracked_key *tracked_find(const struct tracked_key *keys, size_t n, const char *name,
                                       size_t len);

#endif
