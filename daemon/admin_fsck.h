/* admin_fsck.h - one fsck under way, as its files share it: admin_fsck.c (the walk, and what each
 * queue has one of), admin_fsck_keys.c (all keys), admin_fsck_jobs.c (the jobs, each in one place),
 * admin_finding.c (what is said). Nobody else includes it.
 * Runs on: master. Never awaits; each step asks for a page whose answer begins the next. What looks
 * wrong is judged by a script, in one step, which with --repair puts it right in the same step, so
 * that nothing is said or done of what changes meanwhile. */
#ifndef DAEMON_ADMIN_FSCK_H
#define DAEMON_ADMIN_FSCK_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "daemon/admin.h"
#include "daemon/entries.h"
#include "daemon/ids.h"
#include "daemon/queue.h"

#define FSCK_PAGE "500"
#define FSCK_RECORDS "200" /* in one script: Redis waits for it */

enum fsck_step {
    FSCK_SCAN,
    FSCK_TYPES,
    FSCK_ENTRIES,
    FSCK_OWNERS,
    FSCK_INFLIGHT, /* these three once a round of `ids` */
    FSCK_RETRY,
    FSCK_DEAD,
    FSCK_PASSAGE,
    FSCK_STEPS
};

struct fsck {
    struct admin_call *call;
    struct master *master;
    enum fsck_step step;
    size_t queue;    /* being looked at, from FSCK_TYPES on */
    char cursor[24]; /* of the page; "": of the first */
    unsigned pending;
    long long removed; /* since the page before: as many records may have moved up */
    bool repair, no_scan;
    unsigned full;          /* how often passage was found so */
    struct ids *ids;        /* in a queue: jobs; in FSCK_SCAN: queues that are nobody's here */
    unsigned round;         /* of the ids */
    struct entries batches; /* a page of them, whose jobs are looked at */
    size_t batch;           /* ... at this one */
    int64_t from;           /* ... from this index on */
    char **fields;          /* of all batches of the round that were looked at */
    size_t nfields, room;
    const char *failed; /* a sentence: it cannot go on */
    char why[ERR_TEXT_MAX];
    long long findings, repaired, keys;
};

/* ---- admin_fsck.c ---- */

struct queue *fsck_queue(const struct fsck *f); /* being looked at */
/* The queue by its name: one that is not in the configuration can be found too. */
void fsck_find(struct fsck *f, const char *kind, const char *queue, const char *key,
               const char *detail);
/* It cannot go on: for this answer, NULL: for none. */
void fsck_fail(struct fsck *f, const struct redis_reply *r) RUNS_ON(on_master);
void fsck_no_memory(struct fsck *f);
/* Asks for the next page; its fn ends by fsck_answered. */
void fsck_ask(struct fsck *f, struct redis_command *c, redis_fn fn) RUNS_ON(on_master);
void fsck_answered(struct fsck *f) RUNS_ON(on_master);
/* Where the next page begins; behind the last one ("0", "-1") the next step. */
void fsck_turn_page(struct fsck *f, const char *cursor);
/* The answer of a SCAN: its cursor and its items. */
bool fsck_is_page(const struct redis_reply *r);
/* The same of a key, by HSCAN or ZSCAN, whose page is asked for where the last one ended. Without a
 * page it cannot go on, unless the key is of another type, which its own step tells. */
void fsck_ask_page(struct fsck *f, const char *scan, const char *key, redis_fn fn)
    RUNS_ON(on_master);
bool fsck_has_page(struct fsck *f, const struct redis_reply *r) RUNS_ON(on_master);
bool fsck_is_text(const struct redis_reply *r); /* a string without a NUL within */
/* Sends a script that answers findings, a line each: its kind and, behind a blank, more about it.
 * They are about that key and `detail`, in q, or in `name` where q is NULL. */
void fsck_check(struct fsck *f, struct queue *q, const char *name, const char *key,
                const char *detail, struct redis_command *c) RUNS_ON(on_master);
/* A batch by its field, an owner by its instance; part: what was found of it. */
void fsck_check_batch(struct fsck *f, struct queue *q, const char *part, const char *field,
                      const char *key) RUNS_ON(on_master);
void fsck_check_owner(struct fsck *f, struct queue *q, const char *part, const char *instance)
    RUNS_ON(on_master);
/* The parts of <instance>:<epoch>:<name> as ret->at[0]; false where it is no batch's. Cleared by
 * entries_clear in any case. */
bool fsck_parse_field(const char *field, struct entries *ret);

/* ---- admin_fsck_keys.c ---- */

void fsck_ask_keys(struct fsck *f) RUNS_ON(on_master);

/* ---- admin_fsck_jobs.c ---- */

void fsck_ask_inflight(struct fsck *f) RUNS_ON(on_master);
void fsck_ask_records(struct fsck *f) RUNS_ON(on_master);
/* What was kept of a round. */
void fsck_forget_jobs(struct fsck *f);

/* ---- admin_finding.c ---- */

/* Gives {"kind", "queue", "key", "what", "repair", "repaired"}: a finding by its name, which the
 * scripts answer; NULL on no memory. detail may be "". *ret_repaired tells whether it was. */
json_t *finding_json(const char *kind, const char *queue, const char *key, const char *detail,
                     bool repair, bool *ret_repaired);

#endif
