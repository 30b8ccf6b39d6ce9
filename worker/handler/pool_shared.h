/* pool_shared.h - the children of a queue's pool while they are idle, shared by all workers, and
 * when the next one may be started.
 * Runs on: any thread. Never awaits; the end of the last pool waits for its children, within a
 * bound. Units: milliseconds.
 *
 * A queue with a pool runs no more jobs at a time than the pool may have children. So a job takes
 * an idle child or, where there is none, may always start one: nobody waits for a child here. */
#ifndef WORKER_HANDLER_POOL_SHARED_H
#define WORKER_HANDLER_POOL_SHARED_H

#include <stdbool.h>
#include <stdint.h>

#include "common/conf.h"

struct pool_member; /* pool_member.h */
struct pool_shared;

/* Shares the pool of this queue: whoever comes first makes it. NULL: no memory. */
struct pool_shared *pool_shared_get(const struct conf_queue *queue);
/* The last one's idle children get an end of file, and once there is no pool any more, those of all
 * are waited for, then get TERM, then KILL. NULL is fine. */
void pool_shared_put(struct pool_shared *p);

/* Gives the one that was kept last; NULL: none is idle. */
struct pool_member *pool_shared_take(struct pool_shared *p);
/* Takes one that belongs to no loop; m->keeper is set. */
void pool_shared_keep(struct pool_shared *p, struct pool_member *m);
/* Gives one that has ended since it was kept with this keeper, which is readable as long as there
 * is one; NULL: none has. */
struct pool_member *pool_shared_ended(struct pool_shared *p, int keeper);

/* 0: a child may be started now, *ret_turn is for pool_shared_failed; else how long to wait: what
 * was started last came to nothing, and one at a time tries again. */
int64_t pool_shared_start(struct pool_shared *p, unsigned *ret_turn);
/* A child that was just started has answered. */
void pool_shared_good(struct pool_shared *p);
/* Nothing is known of it: the next one may be started at once. */
void pool_shared_again(struct pool_shared *p);
/* It came to nothing. Returns the ms until the next may be started; 0: nothing to be told, that is
 * known. */
int64_t pool_shared_failed(struct pool_shared *p, unsigned turn, const char *cause);

#endif
