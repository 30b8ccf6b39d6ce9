/* Of many queues: one at which nothing was held, and nothing lay, for four leases is released. No
 * beat, look or comparison of it goes out any more, until tracking.c sees a job in its list, a
 * record that waits, or a batch or a passage of anybody: then it is registered anew, under another
 * epoch, and watched as any other. So whoever holds something has others that look at it.
 *
 *   idle for four leases -> are there batches, or a passage? Redis remembers the question
 *                        -> no: release -> rests; yes, or later: as before */
#include "daemon/queue.h"

#include "common/clock.h"
#include "common/log.h"
#include "daemon/master.h"
#include "daemon/tracking.h"

#define LEASES 4

static bool is_in_use(const struct queue *q)
{
    const struct due *d = &q->due;
    bool mine = q->held || q->batches || claim_out(q) || claim_is_busy(q) || q->clearing,
         compared = q->recover.run || q->recover.owed || q->adopt.strays,
         later = d->retries || d->delayed || d->looking || d->moving,
         counted = q->settle.counting || q->settle.lost || once_is_counting(q);
    return mine || compared || later || counted;
}

void rest_look(struct queue *q)
{
    struct rest *r = &q->rest;
    int64_t now = clock_now_ms();
    if (r->on && !r->asks)
        return rest_end(q); /* there was no memory for its end */
    if (r->on || !owner_current(q))
        return;
    if (is_in_use(q) || master_quiet(q->master) || !tracking_hears(q->master->tracking))
        return rest_end(q);
    if (!r->since_ms)
        r->since_ms = now;
    if (now - r->since_ms < LEASES * q->master->conf->lease_ms)
        return;
    r->asks = true; /* again with each look, where it was in use for a moment at the answer */
    r->empty = 0;
    tracking_stale(q, TRACKED_IN_FLIGHT);
}

static void RUNS_ON(on_master)
    on_release(struct redis_link *link, const struct redis_reply *r, void *data)
{
    (void)link;
    struct queue *q = data;
    q->releasing = false;
    if (!r || r->type != REDIS_INTEGER || r->integer == -1) {
        if (r && r->type != REDIS_INTEGER)
            trouble_is(&q->trouble, TROUBLE_OWNER, q->conf->name, r);
        owner_kick(q);      /* it may have been cut meanwhile */
        return rest_end(q); /* where it was released all the same the next beat says so */
    }
    bool wanted = !q->rest.asks; /* something came meanwhile */
    q->rest.on = true;
    owner_released(q);
    log_debug("queue-rests", "queue='%s'", q->conf->label);
    if (wanted)
        rest_end(q);
}

void rest_seen(struct queue *q, enum tracked what, bool some)
{
    struct rest *r = &q->rest;
    if (some)
        return rest_end(q);
    r->empty |= what;
    if (r->asks && r->empty == TRACKED_IN_FLIGHT && !r->on && owner_current(q) && !is_in_use(q))
        q->releasing = owner_release(q, on_release) == 0;
}

void rest_end(struct queue *q)
{
    struct rest *r = &q->rest;
    r->since_ms = 0;
    r->asks = false;
    if (!r->on || master_quiet(q->master) || owner_new_epoch(q) < 0)
        return;
    r->on = false;
    log_debug("queue-wakes", "queue='%s'", q->conf->label);
    owner_kick(q);
}
