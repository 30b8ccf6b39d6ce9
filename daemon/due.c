/* What waits for its time, by Redis' clock: retries and the user's delayed payloads. A look asks
 * for both some times a minute, and sooner where something is due soon; it reads no payload.
 *
 *   retries   claimed by claim_due into an `r` batch, over the work link, under the fences of every
 *             claim, in the slots that its queue is dealt (claim.c). Beside fresh jobs they go half
 *             to each, a single one in turn.
 *   delayed   moved by due_delayed to the end of the list that is popped next */
#include "daemon/queue.h"

#include <stdlib.h>

#include "common/clock.h"
#include "daemon/master.h"
#include "daemon/timer.h"

#define LOOK_MS 900  /* nothing known to be due sooner */
#define SOON_MS 1000 /* what is due in that time is looked for every ... */
#define NEAR_MS 50
#define MORE_MS 1
#define DUE_JOBS 100
#define DUE_BYTES (1 << 20)
#define BACKOFF_MIN_MS 250
#define BACKOFF_MAX_MS 5000

static void on_look(struct ev_loop *loop, ev_timer *w, int revents);

static void look_in(struct queue *q, int64_t ms)
{
    timer_in(q->master->loop, &q->due.look, ms);
}

void due_init(struct queue *q)
{
    ev_timer_init(&q->due.look, on_look, 0, 0);
    q->due.look.data = q;
    q->due.retries = q->due.delayed = !q->master->many; /* of many tracking.c tells */
    if (!q->master->many)
        look_in(q, LOOK_MS);
}

void due_deinit(struct queue *q)
{
    ev_timer_stop(q->master->loop, &q->due.look);
}

static void soon(struct queue *q, int64_t ms)
{
    if (!q->due.soon_ms || ms < q->due.soon_ms)
        q->due.soon_ms = ms;
}

void due_within(struct queue *q, int64_t ms)
{
    if (!ev_is_active(&q->due.look))
        soon(q, ms > 0 ? ms : MORE_MS);
    else if (ms < ev_timer_remaining(q->master->loop, &q->due.look) * 1000)
        look_in(q, ms > 0 ? ms : MORE_MS);
}

void due_next(struct queue *q)
{
    q->due.turn = true;
}

/* ---- the look ---- */

/* All queues look in the same moment, so that idle ones wake the daemon once. */
static void look_again(struct queue *q)
{
    if (q->due.looking || q->due.moving || !(q->due.retries || q->due.delayed))
        return;
    int64_t ms = q->due.soon_ms ? q->due.soon_ms : LOOK_MS - clock_now_ms() % LOOK_MS;
    look_in(q, ms);
}

static void RUNS_ON(on_master) seen(struct queue *q, bool *what, bool some)
{
    *what = some;
    if (some)
        rest_end(q);
    if (some && !ev_is_active(&q->due.look))
        look_in(q, MORE_MS);
}

void due_seen_retries(struct queue *q, bool some)
{
    seen(q, &q->due.retries, some);
}

void due_seen_delayed(struct queue *q, bool some)
{
    seen(q, &q->due.delayed, some);
}

static bool two_numbers(const struct redis_reply *r)
{
    return r->type == REDIS_ARRAY && r->n == 2 && r->item[0].type == REDIS_INTEGER &&
           r->item[1].type == REDIS_INTEGER;
}

static void RUNS_ON(on_master) ready(struct queue *q, int64_t records)
{
    q->due.ready = records;
    if (records > 0)
        claim_kick(q);
}

static void RUNS_ON(on_master)
    on_due(struct redis_link *link, const struct redis_reply *r, void *data)
{
    (void)link;
    struct queue *q = data;
    q->due.looking = false;
    if (r && two_numbers(r)) {
        trouble_over(&q->trouble, TROUBLE_DUE);
        q->due.turn = true;
        ready(q, r->item[0].integer);
        if (r->item[1].integer > 0)
            soon(q, NEAR_MS);
    } else if (r) {
        trouble_is(&q->trouble, TROUBLE_DUE, q->conf->name, r);
    }
    look_again(q);
}

static void RUNS_ON(on_master)
    on_moved(struct redis_link *link, const struct redis_reply *r, void *data)
{
    (void)link;
    struct queue *q = data;
    q->due.moving = false;
    if (r && two_numbers(r)) {
        trouble_over(&q->trouble, TROUBLE_DELAYED);
        if (r->item[1].integer > 0)
            soon(q, r->item[0].integer > 0 ? MORE_MS : NEAR_MS);
    } else if (r) {
        trouble_is(&q->trouble, TROUBLE_DELAYED, q->conf->name, r);
    }
    look_again(q);
}

static void RUNS_ON(on_master) look_for_retries(struct queue *q)
{
    struct redis_command *c = queue_script(q, "due", 1);
    redis_arg_text(c, q->key.retry);
    redis_arg_int(c, SOON_MS);
    q->due.looking = redis_send(q->master->control, c, 0, on_due, q) == 0;
}

static void RUNS_ON(on_master) move_delayed(struct queue *q)
{
    struct redis_command *c = queue_script(q, "due_delayed", 2);
    redis_arg_text(c, q->key.delayed);
    redis_arg_text(c, q->key.queue);
    redis_arg_int(c, SOON_MS);
    q->due.moving = redis_send(q->master->control, c, 0, on_moved, q) == 0;
}

static void on_look(struct ev_loop *loop, ev_timer *w, int revents)
{
    (void)loop, (void)revents;
    thread_assert(&on_master);
    struct queue *q = w->data;
    struct due *d = &q->due;
    d->soon_ms = 0;
    if (master_quiet(q->master))
        return;
    if (owner_current(q) && !q->pause.on && !d->looking && !d->moving) {
        if (d->retries)
            look_for_retries(q);
        if (d->delayed)
            move_delayed(q);
    }
    look_again(q);
}

/* ---- the claim ---- */

static void back_off(struct queue *q)
{
    struct due *d = &q->due;
    d->pause_ms = timer_backoff(d->pause_ms, BACKOFF_MIN_MS, BACKOFF_MAX_MS);
    d->not_before_ms = clock_now_ms() + d->pause_ms;
}

/* Takes b. */
static void RUNS_ON(on_master)
    claimed(struct queue *q, struct batch *b, const struct redis_reply *r)
{
    uint32_t n = (uint32_t)(r->n - 2);
    bool mine = b->epoch == q->epoch;
    ready(q, r->item[1].integer);
    if (redis_is(&r->item[0], "ok")) {
        q->due.pause_ms = 0;
        trouble_over(&q->trouble, TROUBLE_DUE);
        share_charge(&q->claim.share, n);
        if (n && (b->once || mine))
            return claim_begin(b, r->item + 2, n, !queue_stands_still(q));
    }
    if (redis_is(&r->item[0], "paused"))
        pause_begin(q);
    else if (redis_is(&r->item[0], "not owner") && mine)
        owner_doubt(q);
    (void)batch_free(b);
}

static void RUNS_ON(on_master)
    on_claim(struct redis_link *link, const struct redis_reply *r, void *data)
{
    (void)link;
    struct queue *q = data;
    struct batch *b = q->due.batch;
    uint32_t reserved = q->due.reserved;
    q->due.batch = NULL;
    queue_unreserve(q, reserved);
    share_charge(&q->claim.share, -(int64_t)reserved);
    q->due.reserved = 0;
    if (r && claim_well_formed(r, b->once)) {
        claimed(q, b, r);
        return master_step(q->master);
    }
    if (r) {
        trouble_is(&q->trouble, TROUBLE_DUE, q->conf->name, r);
        back_off(q);
    }
    if (b->once)
        once_unanswered(b, r, reserved);
    if (b->epoch == q->epoch)
        owner_raise(q); /* it may have moved records all the same: a comparison finds them */
    (void)batch_free(b);
    master_step(q->master);
}

static int RUNS_ON(on_master) send_claim(struct queue *q, struct batch *b, uint32_t n)
{
    if (b->once)
        return redis_send(q->master->work, once_claim(b, q->key.retry, n, DUE_BYTES), 0, on_claim,
                          q);
    char *entry = batch_entry(b);
    if (!entry)
        return -1;
    struct redis_command *c = queue_script(q, "claim_due", 5);
    redis_arg_text(c, q->key.owner);
    redis_arg_text(c, q->key.paused);
    redis_arg_text(c, q->key.retry);
    redis_arg_text(c, b->list);
    redis_arg_text(c, q->key.batches);
    redis_arg_text(c, q->epoch->name);
    redis_arg_int(c, (int64_t)q->owner.number);
    redis_arg_text(c, b->field);
    redis_arg_text(c, entry);
    redis_arg_int(c, n);
    redis_arg_int(c, DUE_BYTES);
    int r = redis_send(q->master->work, c, 0, on_claim, q);
    free(entry);
    return r;
}

static bool allowed(const struct queue *q)
{
    return !q->pause.on && !q->recover.owed && owner_current(q) && owner_sure(q) &&
           redis_link_up(q->master->work) && !master_is_short(q->master) &&
           clock_now_ms() >= q->due.not_before_ms;
}

uint32_t due_wanted(const struct queue *q, uint32_t room)
{
    const struct due *d = &q->due;
    int64_t n = d->ready - d->reserved; /* what is kept while a claim is out */
    if (n <= 0 || (!d->batch && !allowed(q)))
        return 0;
    n = n < DUE_JOBS ? n : DUE_JOBS;
    return n < room ? (uint32_t)n : room;
}

/* Half, and of a single slot or an odd one who did not get the last; and what fresh ones leave. */
uint32_t due_part(const struct queue *q, uint32_t slots, uint32_t fresh)
{
    uint32_t half = q->due.turn ? slots - slots / 2 : slots / 2,
             left = slots > fresh ? slots - fresh : 0, due = due_wanted(q, slots);
    half = half > left ? half : left;
    return half < due ? half : due;
}

void due_claim(struct queue *q, uint32_t n)
{
    struct batch *b = batch_new(q, "r", ++q->master->batch_numbers);
    if (b)
        b->once = once_is(q);
    if (!b || send_claim(q, b, n) < 0) {
        (void)batch_free(b);
        return back_off(q);
    }
    q->due.batch = b;
    q->due.turn = false;
    q->due.reserved = n;
    queue_reserve(q, n);
    share_charge(&q->claim.share, n);
}
