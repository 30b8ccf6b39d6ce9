/* What lies in Redis and is mine to run: after every registration and cut, every minute, and when a
 * look finds an epoch open. One recovery of a queue at a time; each step is the answer to the one
 * before:
 *
 *   fenced -> scan batches -> compare with memory -> fence dead runs -> take, one by one -> read
 * sizes -> scan again nothing left of an open epoch: mark it empty -> over
 *
 * The comparison uses the link that carries settles, so their answers come in order. Judged are
 * only batches about which nothing is out. A cut starts it anew, once the raised link number is
 * confirmed. */
#include "daemon/queue.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "daemon/entries.h"
#include "daemon/master.h"

struct recovery {
    struct queue *queue;
    struct epoch *epoch; /* it is about this one: another registration makes it void */
    struct epochs open;
    struct entries entries;
    size_t at; /* the entry or epoch that is looked at */
    unsigned took;
    struct batch *batch; /* being taken, compared or sized; in memory only when compared */
    bool refused;        /* something could not be taken: it is said, and holds nothing up */
};

static void next_fence(struct recovery *x);
static void next_take(struct recovery *x);
static void next_resolve(struct recovery *x);
static void next_mark(struct recovery *x);
static void scan(struct recovery *x, const char *cursor);

static void recovery_free(struct recovery *x)
{
    epochs_clear(&x->open);
    entries_clear(&x->entries);
    (void)epoch_unref(x->epoch);
    free(x);
}

static void retry_in(struct queue *q, double seconds)
{
    ev_timer_stop(q->master->loop, &q->recover.retry);
    ev_timer_set(&q->recover.retry, seconds, 0);
    ev_timer_start(q->master->loop, &q->recover.retry);
}

static void on_retry(struct ev_loop *loop, ev_timer *w, int revents)
{
    (void)loop, (void)revents;
    thread_assert(&on_master);
    struct queue *q = w->data;
    recover_start(q, q->recover.owed);
}

void recover_init(struct queue *q)
{
    q->recover.owed = true;
    ev_timer_init(&q->recover.retry, on_retry, 0, 0);
    q->recover.retry.data = q;
}

void recover_deinit(struct queue *q)
{
    ev_timer_stop(q->master->loop, &q->recover.retry);
    if (q->recover.run)
        recovery_free(q->recover.run);
    q->recover.run = NULL;
}

/* It could not be finished: a cut, a refusal, no memory. */
static void give_up(struct recovery *x)
{
    struct queue *q = x->queue;
    if (q->recover.run == x)
        q->recover.run = NULL;
    recovery_free(x);
    retry_in(q, 0.5); /* recover_start looks whether the links are up */
}

static void RUNS_ON(on_master) over(struct recovery *x)
{
    struct queue *q = x->queue;
    bool again = q->recover.again, refused = x->refused;
    q->recover.run = NULL;
    q->recover.again = q->recover.owed = false;
    q->recover.next_ms = clock_now_ms() + 4 * q->master->conf->lease_ms;
    if (!refused) {
        q->recover.known = true;
        trouble_over(&q->trouble, TROUBLE_RECOVER);
    }
    recovery_free(x);
    master_recovered(q->master);
    settle_flush(q);
    claim_kick(q);
    if (again || refused)
        retry_in(q, refused ? 5 : 0);
}

/* An answer that cannot be used ends it; true then. */
static bool unusable(struct recovery *x, const struct redis_reply *r, enum redis_type wanted)
{
    struct queue *q = x->queue;
    if (r && r->type == wanted && x->epoch == q->epoch)
        return false;
    if (r && r->type != wanted)
        trouble_is(&q->trouble, TROUBLE_RECOVER, q->conf->name, r);
    give_up(x);
    return true;
}

static void RUNS_ON(on_master) send_or_give_up(struct recovery *x, struct redis_link *link,
                                               struct redis_command *c, redis_fn fn)
{
    if (redis_send(link, c, 0, fn, x) < 0)
        give_up(x);
}

/* ---- compare ---- */

void recover_vanished(struct batch *b)
{
    struct queue *q = b->queue;
    if (b->gone)
        return;
    log_error("batch-vanished",
              "queue='%s' batch=%s lost=%u what='its list was deleted: what runs goes on, and is "
              "not settled'",
              q->conf->name, b->field, b->unsettled);
    settle_lost(q, b->unsettled);
    q->unread -= batch_unread(b);
    q->master->unread -= batch_unread(b);
    b->gone = true;
    settle_dirty(b);
}

static void RUNS_ON(on_master) write_entry_again(struct batch *b)
{
    struct queue *q = b->queue;
    char *entry = batch_entry(b);
    if (!entry)
        return;
    struct redis_command *c = queue_script(q, "entry", 2);
    redis_arg_text(c, b->list);
    redis_arg_text(c, q->key.batches);
    redis_arg_text(c, b->field);
    redis_arg_text(c, entry);
    (void)redis_send(q->master->work, c, 0, NULL,
                     NULL); /* the next comparison tells whether it is there */
    free(entry);
}

/* Something about it is out, or will be said anyway: this comparison does not judge it. */
static bool not_judged(const struct batch *b)
{
    return b->gone || b->give || b->tried || b->out != 1; /* 1: the comparison itself */
}

static struct batch *next_of_mine(struct recovery *x, struct batch *from)
{
    while (from && (from->epoch != x->epoch || from->gone))
        from = from->next;
    return from;
}

static void compare_next(struct recovery *x, struct batch *b);

static void RUNS_ON(on_master)
    on_length(struct redis_link *link, const struct redis_reply *r, void *data)
{
    (void)link;
    struct recovery *x = data;
    struct batch *b = x->batch, *next = b->next;
    if (r && r->type == REDIS_INTEGER && !not_judged(b)) {
        if (!r->integer)
            recover_vanished(b);
        else if (!entries_find(&x->entries, b->field))
            write_entry_again(b);
    }
    b->out--;
    settle_dirty(b);
    x->batch = NULL;
    if (!unusable(x, r, REDIS_INTEGER))
        compare_next(x, next);
}

static void RUNS_ON(on_master) compare_next(struct recovery *x, struct batch *b)
{
    struct queue *q = x->queue;
    b = next_of_mine(x, b);
    if (!b) {
        x->at = 0;
        return next_fence(x);
    }
    struct redis_command *c = q->master->command;
    redis_begin(c, "LLEN");
    redis_arg_text(c, b->list);
    x->batch = b;
    if (redis_send(q->master->work, c, 0, on_length, x) < 0)
        return give_up(x);
    b->out++; /* keeps it in memory until the answer */
}

/* ---- fence what dead runs of this host left ---- */

static void on_fenced(struct redis_link *link, const struct redis_reply *r, void *data)
{
    (void)link;
    struct recovery *x = data;
    if (unusable(x, r, REDIS_INTEGER))
        return;
    const struct entry *e = &x->entries.at[x->at++];
    if (r->integer && epochs_add(&x->open, e->epoch) < 0)
        return give_up(x);
    next_fence(x);
}

static bool of_a_dead_run(const struct recovery *x, const struct entry *e)
{
    const struct queue *q = x->queue;
    return strcmp(e->split, q->instance) == 0 && strcmp(e->epoch, x->epoch->name) != 0 &&
           !epochs_have(&x->open, e->epoch) &&
           lock_is_own_run(q->master->lock, e->epoch, strcspn(e->epoch, "."));
}

static void RUNS_ON(on_master) next_fence(struct recovery *x)
{
    struct queue *q = x->queue;
    while (x->at < x->entries.n && !of_a_dead_run(x, &x->entries.at[x->at]))
        x->at++;
    if (x->at == x->entries.n) {
        x->at = 0;
        x->took = 0;
        return next_take(x);
    }
    struct redis_command *c = queue_script(q, "fence_epoch", 3);
    redis_arg_text(c, q->key.owner);
    redis_arg_text(c, q->key.owners);
    redis_arg_text(c, q->key.fenced);
    redis_arg_text(c, q->instance);
    redis_arg_text(c, x->entries.at[x->at].epoch);
    redis_arg_text(c, "1");
    send_or_give_up(x, q->master->control, c, on_fenced);
}

/* ---- take ---- */

static bool still_runs(const struct queue *q, const char *epoch)
{
    for (const struct batch *b = q->batches; b; b = b->next)
        if (strcmp(b->epoch->name, epoch) == 0 && b->epoch->running)
            return true;
    return false;
}

static void RUNS_ON(on_master)
    on_take(struct redis_link *link, const struct redis_reply *r, void *data)
{
    (void)link;
    struct recovery *x = data;
    struct queue *q = x->queue;
    if (r && r->type == REDIS_STRING && redis_is(r, "ok"))
        return next_resolve(x);
    x->batch = batch_free(x->batch);
    if (!r) {
        if (x->epoch == q->epoch)
            owner_raise(q); /* what was sent may still run: not after this */
        return give_up(x);
    }
    x->refused = x->refused || r->type == REDIS_ERROR || redis_is(r, "newer");
    if (r->type != REDIS_STRING)
        trouble_is(&q->trouble, TROUBLE_RECOVER, q->conf->name, r);
    if (redis_is(r, "newer"))
        log_warn("newer-format", "queue='%s' batch=%s what='left alone: a newer version wrote it'",
                 q->conf->name, x->entries.at[x->at].field);
    if (redis_is(r, "not owner")) {
        owner_doubt(q);
        return give_up(x);
    }
    x->at++;
    next_take(x);
}

static void RUNS_ON(on_master) send_take(struct recovery *x, const struct entry *e)
{
    struct queue *q = x->queue;
    struct batch *b = batch_new(q, e->records ? "r" : "", ++q->master->batch_numbers);
    char *old = keys_join(&q->key, "inflight:", e->field),
         *old_acked = keys_join(&q->key, "acked:", e->field);
    int r = -1;
    if (b && old && old_acked) {
        struct redis_command *c = queue_script(q, "take", 9);
        const char *const keys[] = {q->key.owner, q->key.paused,  old,
                                    old_acked,    q->key.batches, q->key.fenced,
                                    b->list,      b->acked,       q->key.stats};
        for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
            redis_arg_text(c, keys[i]);
        redis_arg_text(c, q->epoch->name);
        redis_arg_int(c, (int64_t)q->owner.number);
        redis_arg_text(c, e->epoch);
        redis_arg_text(c, e->field);
        redis_arg_text(c, b->field);
        redis_arg_int(c, INT32_MAX);
        x->batch = b;
        r = redis_send(q->master->work, c, 0, on_take, x);
    }
    free(old);
    free(old_acked);
    if (r == 0)
        return;
    x->batch = batch_free(b);
    give_up(x);
}

/* My own batches that memory does not know, and what open epochs left; oldest first. */
static void RUNS_ON(on_master) next_take(struct recovery *x)
{
    struct queue *q = x->queue;
    for (; x->at < x->entries.n; x->at++) {
        const struct entry *e = &x->entries.at[x->at];
        if (epochs_have(&x->open, e->epoch) && !still_runs(q, e->epoch))
            return send_take(x, e);
        if (strcmp(e->split, q->instance) != 0 || strcmp(e->epoch, x->epoch->name) != 0)
            continue;
        bool known = q->claim.batch && strcmp(q->claim.batch->field, e->field) == 0;
        for (struct batch *b = q->batches; b && !known; b = b->next)
            known = strcmp(b->field, e->field) == 0;
        if (known)
            continue;
        x->batch = batch_new(q, e->records ? "r" : "", e->number);
        return x->batch ? next_resolve(x) : give_up(x);
    }
    if (x->took) {
        entries_clear(&x->entries); /* what came since, and what is left */
        x->at = SIZE_MAX;
        return scan(x, "0");
    }
    x->at = 0;
    next_mark(x);
}

static void RUNS_ON(on_master)
    on_entry(struct redis_link *link, const struct redis_reply *r, void *data)
{
    (void)link;
    struct recovery *x = data;
    struct queue *q = x->queue;
    struct batch *b = x->batch;
    x->batch = NULL;
    if (!r || r->type != REDIS_ARRAY || r->n != 3 || x->epoch != q->epoch) {
        (void)batch_free(b);
        (void)unusable(x, r && r->type == REDIS_ARRAY ? NULL : r, REDIS_ARRAY);
        return;
    }
    if (r->item[2].type == REDIS_STRING)
        (void)batch_parse_entry(b, r->item[2].str, r->item[2].len);
    if (r->item[0].integer > 0 && r->item[0].integer <= UINT32_MAX) {
        x->took++;
        feed_batch(b, (uint32_t)r->item[0].integer, &r->item[1]);
    } else {
        (void)batch_free(b); /* settled meanwhile */
    }
    x->at++;
    next_take(x);
}

/* Length, bitmap and entry of x->batch, in one step: a script, so that nothing comes between. */
static void RUNS_ON(on_master) next_resolve(struct recovery *x)
{
    struct queue *q = x->queue;
    struct redis_command *c = queue_script(q, "sizes", 3);
    redis_arg_text(c, x->batch->list);
    redis_arg_text(c, x->batch->acked);
    redis_arg_text(c, q->key.batches);
    redis_arg_text(c, x->batch->field);
    if (redis_send(q->master->work, c, 0, on_entry, x) == 0)
        return;
    x->batch = batch_free(x->batch);
    give_up(x);
}

/* ---- mark ---- */

static void on_marked(struct redis_link *link, const struct redis_reply *r, void *data)
{
    (void)link;
    struct recovery *x = data;
    if (unusable(x, r, REDIS_INTEGER))
        return;
    x->at++;
    next_mark(x);
}

static bool has_entries(const struct recovery *x, const char *epoch)
{
    for (size_t i = 0; i < x->entries.n; i++)
        if (strcmp(x->entries.at[i].epoch, epoch) == 0)
            return true;
    return false;
}

static void RUNS_ON(on_master) next_mark(struct recovery *x)
{
    struct queue *q = x->queue;
    while (x->at < x->open.n && has_entries(x, x->open.at[x->at]))
        x->at++;
    if (x->at == x->open.n)
        return over(x);
    struct redis_command *c = queue_script(q, "mark_empty", 1);
    redis_arg_text(c, q->key.fenced);
    redis_arg_text(c, x->open.at[x->at]);
    send_or_give_up(x, q->master->work, c, on_marked);
}

/* ---- scan ---- */

static void RUNS_ON(on_master)
    on_scan(struct redis_link *link, const struct redis_reply *r, void *data)
{
    (void)link;
    struct recovery *x = data;
    if (unusable(x, r, REDIS_ARRAY))
        return;
    if (r->n != 2 || r->item[0].type != REDIS_STRING || r->item[1].type != REDIS_ARRAY ||
        entries_add(&x->entries, &r->item[1]) < 0)
        return give_up(x);
    if (strcmp(r->item[0].str, "0") != 0)
        return scan(x, r->item[0].str);
    entries_sort(&x->entries);
    if (x->at != SIZE_MAX)
        return compare_next(x, x->queue->batches);
    x->at = 0; /* the second round: only what is left is taken */
    x->took = 0;
    next_take(x);
}

static void RUNS_ON(on_master) scan(struct recovery *x, const char *cursor)
{
    struct queue *q = x->queue;
    struct redis_command *c = q->master->command;
    redis_begin(c, "HSCAN");
    redis_arg_text(c, q->key.batches);
    redis_arg_text(c, cursor);
    redis_arg_text(c, "COUNT");
    redis_arg_text(c, "1000");
    send_or_give_up(x, q->master->work, c, on_scan);
}

static void RUNS_ON(on_master)
    on_open(struct redis_link *link, const struct redis_reply *r, void *data)
{
    (void)link;
    struct recovery *x = data;
    if (unusable(x, r, REDIS_ARRAY))
        return;
    if (epochs_open(&x->open, r) < 0)
        return give_up(x);
    scan(x, "0");
}

void recover_start(struct queue *q, bool owed)
{
    q->recover.owed = q->recover.owed || owed;
    if (q->recover.run) {
        q->recover.again = true;
        return;
    }
    if (!owner_current(q) || q->master->life == LIFE_ENDED)
        return; /* the registration starts it again */
    if (!redis_link_up(q->master->work))
        return retry_in(q, 0.1);
    struct recovery *x = calloc(1, sizeof *x);
    if (!x)
        return retry_in(q, 1);
    x->queue = q;
    x->epoch = epoch_ref(q->epoch);
    q->recover.run = x;
    struct redis_command *c = q->master->command;
    redis_begin(c, "HGETALL");
    redis_arg_text(c, q->key.fenced);
    send_or_give_up(x, q->master->control, c, on_open);
}
