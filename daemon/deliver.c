/* Where a job goes that is done, and what it returned: result.list, result.key_ttl and on_success.
 * That is pushed by the very script that sets the job's bit (settle_call.c), so once, by who owns
 * the batch. What Redis refuses (a list of another type, a full Redis) concerns the deliveries of
 * this queue alone: they wait, their jobs hold their slots, and all else is settled. Redis is then
 * asked, without a result, whether it would take one. A full Redis takes what is no larger than the
 * payload that goes for it: so a chain drains it. */
#include "daemon/queue.h"

#include "common/clock.h"
#include "daemon/master.h"
#include "daemon/timer.h"

#define BACKOFF_MIN_MS 20
#define BACKOFF_MAX_MS 1000
#define QUIET_MS 2000 /* a refusal so long after another begins anew */
#define ID_BYTES 64   /* about what an element of result.list has more than the result */
#define KEY_BYTES 256 /* ... and a key of its own */

static bool is_list(const char *name)
{
    return name[0] != '\0';
}

bool deliver_owed(const struct job *j)
{
    const struct conf_queue *c = j->conf;
    return j->outcome == JOB_DONE &&
           (is_list(c->on_success) ||
            (j->result && (is_list(c->result_list) || c->result_key_ttl_ms)));
}

size_t deliver_bytes(const struct job *j)
{
    const struct conf_queue *c = j->conf;
    size_t n = 0;
    if (is_list(c->on_success))
        n += j->result ? j->result_len : j->len;
    if (j->result && is_list(c->result_list))
        n += j->result_len + ID_BYTES;
    if (j->result && c->result_key_ttl_ms)
        n += j->result_len + KEY_BYTES;
    return n;
}

bool deliver_grows(const struct job *j)
{
    return deliver_bytes(j) > j->len;
}

bool deliver_may(const struct job *j)
{
    const struct deliver *d = &j->batch->queue->deliver;
    return !d->shut && !(d->full && deliver_grows(j));
}

/* ---- after a refusal ---- */

static void again_later(struct queue *q)
{
    struct deliver *d = &q->deliver;
    if (d->asking || ev_is_active(&d->again))
        return;
    bool quiet = clock_now_ms() - d->refused_ms > QUIET_MS;
    d->pause_ms = timer_backoff(quiet ? 0 : d->pause_ms, BACKOFF_MIN_MS, BACKOFF_MAX_MS);
    timer_in(q->master->loop, &d->again, d->pause_ms);
}

void deliver_refused(struct queue *q, const struct redis_reply *r)
{
    bool full = redis_is_error(r, "OOM"); /* the types and rights were asked for before */
    q->deliver.full = full;
    q->deliver.shut = !full;
    trouble_is(&q->trouble, TROUBLE_DELIVER, q->conf->name, r);
    again_later(q);
    q->deliver.refused_ms = clock_now_ms();
}

void deliver_accepted(struct queue *q)
{
    if (!q->deliver.shut && !q->deliver.full) /* else it was sent before, or takes no room */
        trouble_over(&q->trouble, TROUBLE_DELIVER);
}

static void RUNS_ON(on_master) go_on(struct queue *q)
{
    q->deliver.shut = q->deliver.full = false;
    for (struct batch *b = q->batches; b; b = b->next)
        if (b->owing.n)
            settle_dirty(b);
    settle_flush(q);
}

static void RUNS_ON(on_master)
    on_asked(struct redis_link *link, const struct redis_reply *r, void *data)
{
    (void)link;
    struct queue *q = data;
    q->deliver.asking = false;
    if (!r)
        again_later(q);
    else if (r->type != REDIS_INTEGER)
        deliver_refused(q, r);
    else
        go_on(q);
}

static void on_again(struct ev_loop *loop, ev_timer *w, int revents)
{
    (void)loop, (void)revents;
    thread_assert(&on_master);
    struct queue *q = w->data;
    struct redis_command *c = queue_script(q, "room", 2);
    redis_arg_text(c, queue_target(q, q->conf->result_list));
    redis_arg_text(c, queue_target(q, q->conf->on_success));
    q->deliver.asking = redis_send(q->master->work, c, 0, on_asked, q) == 0;
    if (!q->deliver.asking)
        again_later(q);
}

void deliver_init(struct queue *q)
{
    ev_timer_init(&q->deliver.again, on_again, 0, 0);
    q->deliver.again.data = q;
}

void deliver_deinit(struct queue *q)
{
    ev_timer_stop(q->master->loop, &q->deliver.again);
}
