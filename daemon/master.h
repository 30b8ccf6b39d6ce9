/* master.h - the master thread: its loop, the links to Redis, the slots, and the daemon's life.
 * Runs on: master. Never awaits. */
#ifndef DAEMON_MASTER_H
#define DAEMON_MASTER_H

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/conf.h"
#include "common/err.h"
#include "common/mailbox.h"
#include "common/thread.h"
#include "daemon/lock.h"
#include "daemon/redis.h"
#include "daemon/trial.h"
#include "worker/worker.h"

/*  STARTING -> RUNNING -> DRAINING -> CANCELLING -> LEAVING -> ENDED
 *                  \________________________________^  (nothing runs) */
enum life { LIFE_STARTING, LIFE_RUNNING, LIFE_DRAINING, LIFE_CANCELLING, LIFE_LEAVING, LIFE_ENDED };

#define MANY_QUEUES 64

struct claims;

struct master {
    struct ev_loop *loop;
    const struct conf *conf;
    struct lock *lock;
    struct redis *redis;
    /* beats, looks, fences, put-backs: small things, never behind large ones */
    struct redis_link *control;
    /* settles, takes, comparison, payload reads */
    struct redis_link *work;
    struct redis_command *command; /* the one under construction */
    struct queue **queues;
    size_t nqueues, next_queue; /* the queue that reads first in the next turn */
    bool many;                  /* more than MANY_QUEUES: no pops, few links */
    struct queue **telling;     /* settle.c's: those with something to tell Redis, each once */
    size_t ntelling;
    struct claims *claims;
    struct tracking *tracking; /* NULL unless many */
    struct worker **workers;
    uint32_t *load; /* jobs at each worker */
    size_t nworkers;
    struct mailbox results; /* jobs that come back from workers */
    ev_async results_wake;
    uint32_t slots, held, settling, unread, running; /* of the queues together: queue.h */
    unsigned settled_kinds; /* that Redis has carried out over this work link (settle_call.c) */
    uint32_t condemned;     /* jobs whose death is not confirmed: nothing starts beside them */
    bool held_back;         /* some do not start because of them */
    uint32_t waiting;       /* queues whose recovery waits for a slot */
    struct trial trial;
    uint64_t batch_numbers; /* one counter a run */
    unsigned epoch_numbers;
    int64_t again_at_ms; /* nothing is claimed or started before: memory or processes were short */
    uint64_t done, retried, dead, cancelled, lost; /* since the start */
    ev_prepare turn; /* at the end of each turn: settles, then claims, then one write a link */
    ev_timer beat, look, life_timer, again_timer;
    ev_signal signals[5];
    int64_t beat_sent_ms;
    bool durability_known; /* the server was asked whether it keeps what it is given */
    enum life life;
    unsigned steps_left; /* of the end, before it gives up; 0: not bounded yet */
    bool gave_up;        /* jobs that did not come back in time */
    int exit_code;
    struct supervisor *supervisor;
    struct hang *hang;
    struct admin *admin;
};

/* Builds everything up to running worker loops. Gives; NULL with *e and *ret_exit. Borrows conf. */
struct master *master_new(const struct conf *conf, struct err *e, int *ret_exit) RUNS_ON(on_master);
/* Until the end; returns the exit code. */
int master_run(struct master *m) RUNS_ON(on_master);
/* Takes; NULL is fine; returns NULL. Whatever still runs is cancelled and waited for. */
struct master *master_free(struct master *m) RUNS_ON(on_master);

/* It claims no more and starts no more. */
bool master_quiet(const struct master *m);
/* The next beat comes no later; no more than ten a second. */
void master_beat_within(struct master *m, int64_t ms);
/* Memory or the like was short: a second's pause. */
void master_short(struct master *m);
bool master_is_short(const struct master *m);
/* A queue has nothing of a dead run left. */
void master_recovered(struct master *m);
/* A shutdown may have come further. */
void master_step(struct master *m);
/* Ends the daemon: logs the sentence. */
void master_refuse(struct master *m, int code, const char *why);

#endif
