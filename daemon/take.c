/* What Redis has and memory does not: my own batches that nobody remembers, and what open epochs
 * left, which is taken by name. Both are read from here on (feed.c). */
#include "daemon/recovery.h"

#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "daemon/master.h"

static void next_resolve(struct recovery *x);

static bool still_runs(const struct queue *q, const char *epoch)
{
    if (strncmp(epoch, lock_run(q->master->lock), RUN_MAX - 1) != 0)
        return false; /* of another process */
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
        return recover_give_up(x);
    }
    if (r->type != REDIS_STRING)
        recover_passed_over(x, r);
    if (redis_is(r, "newer")) {
        x->refused = true;
        log_warn("newer-format", "queue='%s' batch=%s what='left alone: a newer version wrote it'",
                 q->conf->name, x->entries.at[x->at].field);
    }
    if (redis_is(r, "not owner")) {
        owner_doubt(q);
        return recover_give_up(x);
    }
    x->at++;
    take_next(x);
}

static void RUNS_ON(on_master) send_take(struct recovery *x, const struct entry *e)
{
    struct queue *q = x->queue;
    if (!owner_current(q)) /* a raise would not know that its number was used already */
        return recover_give_up(x);
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
    recover_give_up(x);
}

static bool is_known(const struct queue *q, const char *field)
{
    bool known = q->claim.batch && strcmp(q->claim.batch->field, field) == 0;
    for (const struct batch *b = q->newest; b && !known; b = b->prev)
        known = strcmp(b->field, field) == 0;
    return known;
}

/* What memory knows is marked in one go: one by one it is a loop in a loop. */
static void mark_known(struct recovery *x)
{
    for (const struct batch *b = x->queue->batches; b; b = b->next) {
        struct entry *e = entries_find(&x->entries, b->field);
        if (e)
            e->known = true;
    }
}

/* My own batches that memory does not know, and what open epochs left; oldest first. */
void take_next(struct recovery *x)
{
    struct queue *q = x->queue;
    if (!x->at)
        mark_known(x);
    for (; x->at < x->entries.n; x->at++) {
        const struct entry *e = &x->entries.at[x->at];
        if (epochs_have(&x->open, e->epoch) && !still_runs(q, e->epoch))
            return send_take(x, e);
        if (strcmp(e->split, q->instance) != 0 || strcmp(e->epoch, x->epoch->name) != 0)
            continue;
        if (e->known || is_known(q, e->field))
            continue;
        x->batch = batch_new(q, e->records ? "r" : "", e->number);
        return x->batch ? next_resolve(x) : recover_give_up(x);
    }
    if (x->took) {
        entries_clear(&x->entries); /* what came since, and what is left */
        x->at = SIZE_MAX;
        return recover_scan(x, "0");
    }
    x->at = 0;
    recover_mark(x);
}

static void RUNS_ON(on_master)
    on_entry(struct redis_link *link, const struct redis_reply *r, void *data)
{
    (void)link;
    struct recovery *x = data;
    struct queue *q = x->queue;
    struct batch *b = x->batch;
    x->batch = NULL;
    if (!r || x->epoch != q->epoch) {
        (void)batch_free(b);
        return recover_give_up(x);
    }
    if (r->type != REDIS_ARRAY || r->n != 3) {
        (void)batch_free(b);
        recover_passed_over(x, r);
        x->at++;
        return take_next(x);
    }
    if (r->item[2].type == REDIS_STRING)
        (void)batch_parse_entry(b, r->item[2].str, r->item[2].len);
    if (r->item[0].integer > 0 && r->item[0].integer <= UINT32_MAX) {
        x->took++;
        if (feed_batch(b, (uint32_t)r->item[0].integer, &r->item[1]) < 0)
            return recover_give_up(x);
    } else {
        (void)batch_free(b); /* settled meanwhile */
    }
    x->at++;
    take_next(x);
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
    recover_give_up(x);
}
