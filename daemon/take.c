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

/* Length, bits and entry of a batch that is mine, as `at` holds them in a row; takes b. */
static int RUNS_ON(on_master) have(struct batch *b, const struct redis_reply *at)
{
    if (at[2].type == REDIS_STRING)
        (void)batch_parse_entry(b, at[2].str, at[2].len);
    if (at[0].type == REDIS_INTEGER && at[0].integer > 0 && at[0].integer <= UINT32_MAX)
        return feed_batch(b, (uint32_t)at[0].integer, &at[1]);
    (void)batch_free(b); /* settled meanwhile */
    return 0;
}

static void RUNS_ON(on_master) not_taken(struct recovery *x, const struct entry *e, const char *why)
{
    struct queue *q = x->queue;
    if (strcmp(why, "newer") == 0) {
        x->refused = true;
        x->newest = e;
        x->newer++;
    }
    if (strcmp(why, "not owner") == 0) {
        owner_doubt(q);
        return recover_give_up(x);
    }
    if (strcmp(why, "paused") == 0) {
        x->paused = true;
        x->at = x->entries.n;
        pause_begin(q);
    }
    take_next(x);
}

/* Where there are as many as the last time it has been said. */
static void tell_newer(const struct recovery *x)
{
    struct queue *q = x->queue;
    char quoted[LOG_QUOTE_MAX];
    if (x->newer && x->newer != q->recover.newer)
        log_warn("newer-format",
                 "queue='%s' batches=%u one=%s what='left alone: a newer version wrote that'",
                 q->conf->label, x->newer,
                 log_quote(x->newest->field, strlen(x->newest->field), quoted));
    q->recover.newer = x->newer;
}

static bool of_this_name(const struct queue *q, const struct entry *e)
{
    return strcmp(e->split, q->instance) == 0;
}

static bool is_taken(const struct redis_reply *r)
{
    return r->type == REDIS_ARRAY && r->n == 4 && redis_is(&r->item[0], "ok") &&
           r->item[1].type == REDIS_INTEGER;
}

static bool is_why_not(const struct redis_reply *r)
{
    return r->type == REDIS_ARRAY && r->n == 1 && r->item[0].type == REDIS_STRING;
}

static void RUNS_ON(on_master)
    on_take(struct redis_link *link, const struct redis_reply *r, void *data)
{
    (void)link;
    struct recover_call *call = data;
    struct queue *q = call->queue;
    struct batch *b = call->batch;
    size_t entry = call->entry;
    struct recovery *x = recover_call_end(call);
    bool ok = r && is_taken(r), sound = ok || (r && is_why_not(r)),
         taken = ok && b->epoch == q->epoch;
    int error = 0;
    if (!r && b->epoch == q->epoch)
        owner_raise(q); /* what was sent may still run: not after this */
    if (taken)
        error = have(b, r->item + 1);
    else
        (void)batch_free(b);
    if (!x)
        return; /* it was given up */
    if (!r || x->epoch != q->epoch || error)
        return recover_give_up(x);
    x->took += taken;
    if (taken)
        return take_next(x);
    if (!sound)
        recover_passed_over(x, r);
    not_taken(x, &x->entries.at[entry], sound ? r->item[0].str : "");
}

/* The index that a crash note names in this batch, whose ids begin with its birth name; or "". */
static const char *struck(const char *note, const struct entry *e)
{
    const char *birth = strchr(e->value, ' ');
    size_t n = birth ? strcspn(++birth, " ") : 0;
    bool named = note && n && strncmp(note, birth, n) == 0 && note[n] == '-' && note[n + 1] &&
                 strspn(note + n + 1, "0123456789") == strlen(note + n + 1);
    return named ? note + n + 1 : "";
}

/* Entry x->at. */
static int RUNS_ON(on_master) send_take(struct recovery *x)
{
    struct queue *q = x->queue;
    const struct entry *e = &x->entries.at[x->at];
    if (!owner_current(q)) /* a raise would not know that its number was used already */
        return -1;
    struct batch *b = batch_new(q, e->records ? "r" : "", ++q->master->batch_numbers);
    char *old = keys_join(&q->key, "inflight:", e->field),
         *old_acked = keys_join(&q->key, "acked:", e->field);
    const char *note =
        of_this_name(q, e) ? lock_note(q->master->lock, e->epoch, strcspn(e->epoch, ".")) : NULL;
    const char *index = struck(note, e);
    if (*index)
        log_warn("crash-note",
                 "queue='%s' job=%s what='the last run died while this job ran: it gets a strike'",
                 q->conf->label, note);
    struct recover_call *call = b && old && old_acked ? recover_call_new(x, b) : NULL;
    int r = -1;
    if (call) {
        b->adopted = !of_this_name(q, e);
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
        redis_arg_int(c, queue_room(q));
        redis_arg_int(c, of_this_name(q, e) ? 0 : q->master->conf->lease_ms * 2 / 15);
        redis_arg_text(c, note ? "0" : "1"); /* a note says who it was: no other is to blame */
        redis_arg_text(c, index);
        r = redis_send(q->master->work, c, 0, on_take, call);
        if (r < 0)
            (void)recover_call_end(call);
    }
    free(old);
    free(old_acked);
    if (r < 0)
        (void)batch_free(b);
    return r;
}

static bool is_known(const struct queue *q, const char *field)
{
    bool known = (q->claim.batch && strcmp(q->claim.batch->field, field) == 0) ||
                 (q->due.batch && strcmp(q->due.batch->field, field) == 0);
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

/* What another left is taken while there is a slot for one job of it at least; what this name left
 * is mine in any case. */
static bool may_take(const struct recovery *x, const struct entry *e)
{
    const struct queue *q = x->queue;
    return epochs_have(&x->open, e->epoch) && !still_runs(q, e->epoch) &&
           (of_this_name(q, e) || !master_quiet(q->master));
}

/* How many may be out, this one with them: how much room there is for what another left is known
 * once nothing is. */
static unsigned most_out(const struct recovery *x, const struct entry *e)
{
    return of_this_name(x->queue, e) ? RECOVER_OUT : 1;
}

/* My own batches that memory does not know, and what open epochs left; oldest first. */
void take_next(struct recovery *x)
{
    struct queue *q = x->queue;
    if (!x->at)
        mark_known(x);
    for (; x->at < x->entries.n; x->at++) {
        const struct entry *e = &x->entries.at[x->at];
        if (may_take(x, e)) {
            if (x->out >= most_out(x, e))
                return;
            recover_wait(q, !of_this_name(q, e) && !queue_room(q));
            if (q->recover.waiting)
                return;
            if (send_take(x) < 0)
                return recover_give_up(x);
            continue;
        }
        if (!of_this_name(q, e) || strcmp(e->epoch, x->epoch->name) != 0)
            continue;
        if (e->known || is_known(q, e->field))
            continue;
        if (x->out)
            return;
        x->batch = batch_new(q, e->records ? "r" : "", e->number);
        return x->batch ? next_resolve(x) : recover_give_up(x);
    }
    if (x->out)
        return;
    if (x->took && !x->paused) {
        entries_clear(&x->entries); /* what came since, and what is left */
        x->newer = 0;
        x->at = SIZE_MAX;
        return recover_scan(x, "0");
    }
    x->at = 0;
    if (!x->paused)
        tell_newer(x);
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
    if (r->type != REDIS_ARRAY || r->n != 3 || r->item[0].type != REDIS_INTEGER) {
        (void)batch_free(b);
        recover_passed_over(x, r);
        x->at++;
        return take_next(x);
    }
    x->took += r->item[0].integer > 0;
    x->at++;
    return have(b, r->item) < 0 ? recover_give_up(x) : take_next(x);
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
