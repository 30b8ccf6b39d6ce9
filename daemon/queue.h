/* queue.h - one queue on the master: its state, and how its rooms call one another.
 * Runs on: master; callbacks on its one loop. Never awaits. Errors are logged where it is decided
 * what happens next.
 *
 *   owner.c     register, beat, release: may this run have anything of the queue
 *   look.c      the periodic look at passage, open epochs and other owners
 *   adopt.c     who stands still among them loses the queue
 *   recover.c   what lies in Redis and is mine to run (compare.c, take.c)
 *   feed.c      reads what was found or taken
 *   claim.c     burst and pop: new jobs, never more than free slots (share.h: whose turn it is)
 *   pause.c     the user's pause
 *   tracking.c  of many queues: which has something to claim, which is paused
 *   dispatch.c  jobs to workers and back
 *   outcome.c   what became of a job: done, another try, dead
 *   settle.c    ... told to Redis until Redis has confirmed it
 *   deliver.c   where a job that is done, or its result, goes: whether Redis takes that now
 *   due.c       retries and delayed jobs whose time has come
 *   rest.c      of many queues: one at which nothing happens is released
 *   hollow.c    the payloads of settled jobs beside one that runs long
 *   giveback.c  claimed and not begun: back to the list
 *   once.c      of jobs that are delivered at most once: claim, settle, back to the list
 *
 * The state of a room is written by that room alone; the others read it. */
#ifndef DAEMON_QUEUE_H
#define DAEMON_QUEUE_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/conf.h"
#include "common/job.h"
#include "common/thread.h"
#include "daemon/batch.h"
#include "daemon/job_list.h"
#include "daemon/keys.h"
#include "daemon/redis.h"
#include "daemon/share.h"
#include "daemon/tracking.h"
#include "daemon/trouble.h"
#include "daemon/watch.h"

struct master;

struct owner {
    uint64_t number;      /* the link number that is wanted */
    uint64_t confirmed;   /* ... and as Redis has confirmed it; 0: none */
    int64_t confirmed_ms; /* the last confirmed beat was sent, boot clock */
    bool registered;      /* the owner key names my epoch, as far as I know */
    bool asking;          /* a register, or a fence before it, is on the way */
    bool unsure;          /* a register was cut: it may have run */
    bool missed;          /* it was told that the owner key is gone */
    ev_timer again;
    char rival[EPOCH_NAME_MAX]; /* another live epoch under my name, and how its beat stands: */
    char rival_score[32];
    int64_t rival_since_ms, rival_seen_ms; /* boot clock */
    unsigned rival_moves;
};

struct claim {
    struct redis_link *link;
    struct batch *batch; /* what is being claimed; NULL: nothing is out */
    bool pop;
    uint32_t reserved;
    int64_t depth;         /* of the list, as last answered */
    int64_t full_until_ms; /* Redis refused a pop: bursts until then */
    int64_t pause_ms;      /* backoff after an error; 0: none */
    ev_timer again;
    unsigned stopping; /* a pop is being given up: looks at it so far (claim_stop) */
    bool wanting;      /* in the master's list of those that may claim */
    struct share share;
};

struct tracked_queue { /* of many: what tracking.c reads, by enum tracked */
    unsigned stale, reading;
    bool listed;
};

struct pause {
    bool on;   /* by the key */
    bool told; /* it was logged, with its reason */
    ev_timer look;
};

struct settle {
    struct batch *dirty;
    struct batch *refused; /* Redis refused their last settle: they wait for `retry` */
    int64_t pause_ms;      /* backoff after an error; 0: none */
    ev_timer again, retry;
    uint64_t lost; /* counted here, not yet in Redis */
    bool counting;
    bool listed; /* in the master's list of those that have something to tell */
};

struct deliver {
    bool shut;        /* Redis refused it: nothing is delivered until it accepts */
    bool full;        /* ... what takes more room than the payload that goes */
    bool asking;      /* the question is on the way */
    int64_t pause_ms; /* backoff after refusals */
    int64_t refused_ms;
    ev_timer again;
};

struct giveback {
    struct batch *batch; /* being given back; NULL: none */
    bool out;            /* its script is on the way; else `again` is set */
    ev_timer again;
};

struct once {
    uint64_t done; /* counted here, not yet in Redis */
    bool counting;
    ev_timer again; /* Redis refused what was to be pushed back: not before */
};

struct recover {
    struct recovery *run; /* the comparison and taking under way (recover.c); NULL: none */
    bool owed;            /* no fresh claim before it is over */
    bool again;           /* asked for while one was under way */
    bool waiting;         /* `run` waits for a free slot: there is something to take */
    bool known;           /* one was finished: nothing of a dead run is left */
    bool compared;        /* ... since the registration: memory knows what is mine */
    uint32_t reading;     /* slots reserved for the LRANGE that is out; 0: none is */
    unsigned newer;       /* entries of a newer version that were told of */
    int64_t next_ms;      /* when to compare without a cause */
    ev_timer retry;
};

struct due {
    struct batch *batch; /* what is being claimed of the retries; NULL: nothing is out */
    uint32_t reserved;
    int64_t ready;         /* so many were due when Redis was last asked */
    bool turn;             /* an odd slot is for them, before fresh jobs */
    bool looking, moving;  /* the two questions of a look are out */
    bool retries, delayed; /* there may be some: worth a look */
    int64_t soon_ms;       /* the next look, as the answers ask for it */
    int64_t pause_ms;      /* backoff after an error; 0: none */
    int64_t not_before_ms;
    ev_timer look;
};

struct look {
    bool out;
    int64_t sent_ms; /* boot clock */
};

struct rest {
    bool on;          /* released: nothing of it is asked until something is there */
    bool asks;        /* whether anything is in flight is read, and heard of */
    unsigned empty;   /* what of that was seen to be absent */
    int64_t since_ms; /* nothing was held or lay there; 0: something did */
};

struct adopt {
    struct watch watch; /* the other owners, and strays */
    bool strays;        /* entries are watched that belong to nobody: each look compares */
};

struct queue {
    struct master *master;
    const struct conf_queue *conf;
    const char *instance;
    struct keys key;
    struct epoch *epoch;
    struct batch *batches, *newest; /* oldest first */
    uint64_t last_seq;              /* of the newest */
    struct job_list waiting;        /* claimed, not handed to a worker */
    uint32_t held;                  /* slots: jobs in memory and what is reserved for a claim */
    uint32_t settling;              /* of these: free behind what is on the way (settle_call.c) */
    uint32_t unread;                /* jobs of found batches that are still to be read */
    uint32_t running;
    struct owner owner;
    struct claim claim;
    bool clearing; /* the passage: the script is out */
    struct pause pause;
    struct tracked_queue tracked;
    struct settle settle;
    struct deliver deliver;
    struct giveback giveback;
    struct once once;
    struct recover recover;
    struct due due;
    struct look look;
    struct adopt adopt;
    struct rest rest;
    struct trouble trouble;
    bool releasing; /* its release is on the way */
    bool released;  /* at the end */
    bool probed;    /* the user's rights were asked for */
};

/* ---- queue.c ---- */

/* Gives; NULL on no memory. */
struct queue *queue_new(struct master *m, const struct conf_queue *conf) RUNS_ON(on_master);
/* Takes; NULL is fine. */
struct queue *queue_free(struct queue *q) RUNS_ON(on_master);
/* Nothing of it begins: it is paused, or the daemon ends. What comes all the same goes back. */
bool queue_stands_still(const struct queue *q);
/* How many more jobs may be taken, over the work link behind the settles that are on the way. */
uint32_t queue_room(const struct queue *q);
/* The same over any link. */
uint32_t queue_room_now(const struct queue *q);
/* How many jobs may be read into memory. */
uint32_t queue_idle(const struct queue *q);
/* Slots for n jobs that are asked for are held, or free again. */
void queue_reserve(struct queue *q, uint32_t n);
void queue_unreserve(struct queue *q, uint32_t n);
/* Begins a script's command: `none` is its first key already; `nkeys` further keys follow. */
struct redis_command *queue_script(struct queue *q, const char *script, unsigned nkeys)
    RUNS_ON(on_master);
/* A list of the configuration as a script's key: where it is "", a key that never exists. */
const char *queue_target(const struct queue *q, const char *list);
/* b becomes the newest; takes. */
void queue_add(struct queue *q, struct batch *b);
/* Takes and frees b, with what is left in it. */
void queue_forget(struct queue *q, struct batch *b);
/* The job takes a slot. NULL on no memory. */
struct job *queue_new_job(struct batch *b, uint32_t index, const struct redis_reply *element);
/* Its slot is free; it leaves its batch. */
void queue_free_job(struct job *j);

/* ---- owner.c ---- */

void owner_init(struct queue *q);
void owner_deinit(struct queue *q);
/* Jobs may be started: registered, and the beat is young enough. */
bool owner_sure(const struct queue *q);
/* Registered under the present link number. */
bool owner_current(const struct queue *q);
/* Registers where that is needed and possible. */
void owner_kick(struct queue *q) RUNS_ON(on_master);
/* What was sent over a link that gives can no longer run, once the raise is confirmed. A comparison
 * follows. */
void owner_raise(struct queue *q) RUNS_ON(on_master);
/* Redis says the owner key does not name me. */
void owner_doubt(struct queue *q) RUNS_ON(on_master);
/* Once a look's time: an epoch of which no beat was confirmed for long is given up. */
void owner_look(struct queue *q) RUNS_ON(on_master);
void owner_beat(struct queue *q) RUNS_ON(on_master);
/* Another epoch, not registered. 0 or -ENOMEM. */
int owner_new_epoch(struct queue *q) RUNS_ON(on_master);
/* Its owner key is gone because I released it. */
void owner_released(struct queue *q);
/* As redis_send: fn gets the script's answer, data is q. */
int owner_release(struct queue *q, redis_fn fn) RUNS_ON(on_master);

/* ---- recover.c ---- */

void recover_init(struct queue *q);
void recover_deinit(struct queue *q);
/* Compares, takes what is open; owed: before any fresh claim. */
void recover_start(struct queue *q, bool owed) RUNS_ON(on_master);
/* Takes on where it waited for a slot and there is one. */
void recover_kick(struct queue *q) RUNS_ON(on_master);
/* Shutdown: nothing more is waited for. */
void recover_stop(struct queue *q);
/* Its list is gone: what is in memory runs to its end. */
void recover_vanished(struct batch *b);

/* ---- look.c ---- */

/* Once a look's time. */
void look_at(struct queue *q) RUNS_ON(on_master);

/* ---- adopt.c ---- */

void adopt_init(struct queue *q);
void adopt_deinit(struct queue *q);
/* A look's answer: every owner with its beat. */
void adopt_look(struct queue *q, const struct redis_reply *owners, int64_t sent_ms)
    RUNS_ON(on_master);

/* ---- feed.c ---- */

/* Reads found batches as slots come free. */
void feed_kick(struct queue *q) RUNS_ON(on_master);
/* Reads the next job of a batch on trial. */
void feed_one(struct batch *b) RUNS_ON(on_master);
/* Takes a batch that was found. 0 or -ENOMEM. */
int feed_batch(struct batch *b, uint32_t length, const struct redis_reply *bits) RUNS_ON(on_master);

/* ---- claim.c ---- */

int claim_open(struct queue *q) RUNS_ON(on_master); /* 0 or -ENOMEM */
void claim_close(struct queue *q) RUNS_ON(on_master);
/* It may have something to claim or pop: looked at from the turn's end on. */
void claim_kick(struct queue *q) RUNS_ON(on_master);
/* The end of a turn: claims and pops where that is allowed now. */
void claim_turn(struct master *m) RUNS_ON(on_master);
/* A blocked pop is given up: shutdown, or the epoch is lost. */
void claim_stop(struct queue *q) RUNS_ON(on_master);
bool claim_out(const struct queue *q); /* of fresh or due ones */
/* What a claim answers: `ok`, a number and the elements; or why it was given nothing, and a number.
 * once: of a job that was too large its length stands in its place. */
bool claim_well_formed(const struct redis_reply *r, bool once);
/* Takes b, to which n elements were moved: its jobs begin, or go back where they are not wanted. */
void claim_begin(struct batch *b, const struct redis_reply *element, uint32_t n, bool wanted)
    RUNS_ON(on_master);
/* Many queues: its claims have not come to the end of what lies in the list. */
bool claim_is_busy(const struct queue *q);
/* Many queues: so many jobs lie in the list. */
void claim_seen(struct queue *q, int64_t jobs) RUNS_ON(on_master);
/* What the queues of a master have in common. Gives; NULL on no memory. */
struct claims *claims_new(struct master *m, size_t queues) RUNS_ON(on_master);
struct claims *claims_free(struct claims *c) RUNS_ON(on_master); /* takes; NULL is fine */

/* What lies in passage returns to the list. */
void passage_clear(struct queue *q) RUNS_ON(on_master);

/* ---- pause.c ---- */

void pause_init(struct queue *q);
void pause_deinit(struct queue *q);
/* The key was seen: what has not begun goes back, and its end is watched for. */
void pause_begin(struct queue *q) RUNS_ON(on_master);
/* Many queues: the key's PTTL. */
void pause_seen(struct queue *q, int64_t ttl_ms) RUNS_ON(on_master);

/* ---- due.c ---- */

void due_init(struct queue *q);
void due_deinit(struct queue *q);
/* The slots that due records could use now, of `room`. */
uint32_t due_wanted(const struct queue *q, uint32_t room);
/* Of the slots that the queue was dealt: how many are for due records, where fresh jobs could use
 * so many. */
uint32_t due_part(const struct queue *q, uint32_t slots, uint32_t fresh);
/* Claims n due records, which were wanted; no such claim is out. */
void due_claim(struct queue *q, uint32_t n) RUNS_ON(on_master);
/* Fresh jobs were claimed: the next slots are for due ones. */
void due_next(struct queue *q);
/* A record was written that is due then. */
void due_within(struct queue *q, int64_t ms);
/* Many queues: some retries, or delayed payloads, wait for their time; or none. */
void due_seen_retries(struct queue *q, bool some) RUNS_ON(on_master);
void due_seen_delayed(struct queue *q, bool some) RUNS_ON(on_master);

/* ---- dispatch.c ---- */

/* Hands waiting jobs to workers. */
void dispatch_pump(struct queue *q);
/* Takes j, which was read into memory: to the waiting, or at once to the dead. */
void dispatch_read(struct job *j);
/* By an operator: one that runs is told to end, one that waits is dead at once. False: it has an
 * outcome, or is being pushed back and may be in its list again. */
bool dispatch_cancel_job(struct job *j) RUNS_ON(on_master);
/* Hands over j alone, while a trial holds all others. False: not now. */
bool dispatch_alone(struct job *j) RUNS_ON(on_master);
/* The epoch is lost: nothing of it starts, what runs is cancelled. */
void dispatch_abandon(struct queue *q);

/* ---- outcome.c ---- */

/* What the worker said of j becomes what Redis is told; false: nothing is, it has not ended. */
bool outcome_decide(struct job *j);
/* j, which does not run, is dead, for this reason: to be settled. */
void outcome_condemn(struct job *j, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* j is done, and Redis never takes what it returned: dead, for this reason. */
void outcome_undelivered(struct job *j);

/* ---- settle.c ---- */

void settle_init(struct queue *q);
void settle_deinit(struct queue *q);
/* Takes j: it has an outcome. */
void settle_ended(struct job *j);
/* Takes j, which had one: it has another. */
void settle_changed(struct job *j);
void settle_dirty(struct batch *b);
/* b is being forgotten. */
void settle_forget(struct batch *b);
/* Sends what can be sent. */
void settle_flush(struct queue *q) RUNS_ON(on_master);
/* Once a turn: that, of each queue that has something. */
void settle_turn(struct master *m) RUNS_ON(on_master);
void settle_lost(struct queue *q, uint64_t jobs);

/* ---- deliver.c ---- */

void deliver_init(struct queue *q);
void deliver_deinit(struct queue *q);
/* j is done, and somebody is to get it or its result: its settle carries that. */
bool deliver_owed(const struct job *j);
/* More is delivered of it than its payload, which goes. */
bool deliver_grows(const struct job *j);
size_t deliver_bytes(const struct job *j); /* that its delivery moves */
/* Redis may take it now, as far as is known. */
bool deliver_may(const struct job *j);
/* Redis refused a delivery: the queue's wait until it would accept one. */
void deliver_refused(struct queue *q, const struct redis_reply *r);
void deliver_accepted(struct queue *q);

/* ---- rest.c ---- */

/* Once a look's time. */
void rest_look(struct queue *q) RUNS_ON(on_master);
/* Somebody's batches, or what is in passage, were read: they are there, or not. */
void rest_seen(struct queue *q, enum tracked what, bool some) RUNS_ON(on_master);
/* Something is there: it is registered again if it was released. */
void rest_end(struct queue *q) RUNS_ON(on_master);

/* ---- hollow.c ---- */

/* Once a look's time: the payloads of settled jobs go, where others of their batch run long. */
void hollow_look(struct queue *q) RUNS_ON(on_master);

/* ---- giveback.c ---- */

void giveback_init(struct queue *q);
void giveback_deinit(struct queue *q);
/* What of it has not begun returns to the list. */
void giveback_batch(struct batch *b) RUNS_ON(on_master);
void giveback_all(struct queue *q) RUNS_ON(on_master);
/* Once a look's time: what was adopted and has no slot here for a lease is anybody's. */
void giveback_look(struct queue *q) RUNS_ON(on_master);
/* b is being forgotten. */
void giveback_forget(struct batch *b);

/* ---- once.c ---- */

void once_init(struct queue *q);
void once_deinit(struct queue *q);
/* The queue's jobs are delivered at most once. */
bool once_is(const struct queue *q);
/* Begins the claim of b's jobs; from: the list, the place of passage, or the retries. */
struct redis_command *once_claim(struct batch *b, const char *from, uint32_t n, int64_t bytes)
    RUNS_ON(on_master);
/* Takes b, whose n elements are nowhere else: its jobs begin, or go back where they are not
 * wanted. */
void once_begin(struct batch *b, const struct redis_reply *element, uint32_t n, bool wanted)
    RUNS_ON(on_master);
/* A claim of b, of n jobs at most, was not answered (NULL), or by what is no claim's answer. */
void once_unanswered(const struct batch *b, const struct redis_reply *r, uint32_t n);
/* Its jobs that have ended: done is counted, the rest are dead letters. 0, or -1 where one could
 * not be sent. */
int once_flush(struct batch *b) RUNS_ON(on_master);
/* Begins the command that makes j, which is dead, a dead letter. */
struct redis_command *once_dead(struct job *j, const char *head, const char *counter)
    RUNS_ON(on_master);
/* What n jobs that are done delivered was not answered: it is not sent again. */
void once_undelivered(const struct queue *q, unsigned n);
/* Once a turn: tells Redis how many are done. */
void once_count(struct queue *q) RUNS_ON(on_master);
bool once_is_counting(const struct queue *q);
/* What was popped and has not begun returns to the list. */
void once_give_back(struct queue *q) RUNS_ON(on_master);

#endif
