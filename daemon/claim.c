/* New jobs, never more than there are free slots. One claim of a queue is out at a time, over its
 * own link:
 *
 *   burst  the list was not empty: claim(Q -> batch, n)
 *   pop    it was empty: BLMOVE Q popped, and behind it, in the same write,
 *          claim(popped -> batch, 1); Redis answers both at once
 *
 * Only the script's answer counts: it may have moved another job than BLMOVE names. A claim that
 * was cut, given up or refused may have moved jobs all the same: the link number is raised, then a
 * comparison finds them (owner.c, recover.c). */
#include "daemon/queue.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "daemon/master.h"

#define BURST_JOBS 1000
#define BURST_BYTES (1 << 20)
#define POP_SECONDS 5 /* or as many as there are links that may be blocked */
#define PAUSE_LOOK_MS 500
#define BACKOFF_MIN_MS 100
#define BACKOFF_MAX_MS 5000

static void on_again(struct ev_loop *loop, ev_timer *w, int revents)
{
    (void)loop, (void)revents;
    thread_assert(&on_master);
    (void)claim_kick(w->data);
}

static void RUNS_ON(on_master) on_up(struct redis_link *link, void *data)
{
    (void)link;
    (void)claim_kick(data);
}

static void on_refused(struct redis_link *link, const struct err *why, void *data)
{
    (void)link;
    struct queue *q = data;
    if (!redis_ever_connected(q->master->redis))
        master_refuse(q->master, 78, why->text);
}

static const struct redis_events link_events = {.up = on_up, .refused = on_refused};

static void on_pause_look(struct ev_loop *loop, ev_timer *w, int revents);

int claim_open(struct queue *q)
{
    ev_timer_init(&q->claim.again, on_again, 0, 0);
    ev_timer_init(&q->claim.pause_look, on_pause_look, 0, 0);
    q->claim.again.data = q->claim.pause_look.data = q;
    q->claim.depth = 1; /* not known yet: the first claim asks */
    q->claim.link = redis_link_new(q->master->redis, q->conf->name, &link_events, q);
    return q->claim.link ? 0 : -1;
}

void claim_close(struct queue *q)
{
    ev_timer_stop(q->master->loop, &q->claim.again);
    ev_timer_stop(q->master->loop, &q->claim.pause_look);
    q->claim.link = redis_link_free(q->claim.link);
}

bool claim_out(const struct queue *q)
{
    return q->claim.batch;
}

static void again_in(struct queue *q, int64_t ms)
{
    ev_timer_stop(q->master->loop, &q->claim.again);
    ev_timer_set(&q->claim.again, (double)ms / 1000, 0);
    ev_timer_start(q->master->loop, &q->claim.again);
}

static void back_off(struct queue *q)
{
    struct claim *c = &q->claim;
    c->pause_ms = c->pause_ms ? c->pause_ms * 2 : BACKOFF_MIN_MS;
    if (c->pause_ms > BACKOFF_MAX_MS)
        c->pause_ms = BACKOFF_MAX_MS;
    again_in(q, c->pause_ms);
}

/* ---- passage ---- */

static void RUNS_ON(on_master)
    on_put_back(struct redis_link *link, const struct redis_reply *r, void *data)
{
    (void)link;
    struct queue *q = data;
    q->claim.putting = false;
    if (r && r->type == REDIS_INTEGER && r->integer > 0)
        claim_put_back(q);
    else if (r && r->type != REDIS_INTEGER)
        trouble_is(&q->trouble, TROUBLE_POP, q->conf->name, r); /* the next look finds it again */
}

void claim_put_back(struct queue *q)
{
    if (q->claim.putting)
        return;
    struct redis_command *c = queue_script(q, "put_back", 2);
    redis_arg_text(c, q->key.popped);
    redis_arg_text(c, q->key.queue);
    q->claim.putting = redis_send(q->master->control, c, 0, on_put_back, q) == 0;
}

/* ---- pause ---- */

static void look_later(struct queue *q)
{
    ev_timer_stop(q->master->loop, &q->claim.pause_look);
    ev_timer_set(&q->claim.pause_look, PAUSE_LOOK_MS / 1000.0, 0);
    ev_timer_start(q->master->loop, &q->claim.pause_look);
}

static void RUNS_ON(on_master)
    on_paused(struct redis_link *link, const struct redis_reply *r, void *data)
{
    (void)link;
    struct queue *q = data;
    if (!r || r->type != REDIS_INTEGER || r->integer) {
        look_later(q);
        return;
    }
    q->claim.paused = false;
    log_info("queue-resumed", "queue='%s'", q->conf->name);
    look_at(q);
    dispatch_pump(q);
    (void)claim_kick(q);
}

static void on_pause_look(struct ev_loop *loop, ev_timer *w, int revents)
{
    (void)loop, (void)revents;
    thread_assert(&on_master);
    struct queue *q = w->data;
    struct redis_command *c = q->master->command;
    redis_begin(c, "EXISTS");
    redis_arg_text(c, q->key.paused);
    if (redis_send(q->master->control, c, 0, on_paused, q) < 0)
        look_later(q);
}

static void RUNS_ON(on_master) pause_queue(struct queue *q)
{
    if (q->claim.paused)
        return;
    q->claim.paused = true;
    log_info("queue-paused", "queue='%s' key=%s", q->conf->name, q->key.paused);
    giveback_all(q);
    look_later(q);
}

/* ---- claims ---- */

static void RUNS_ON(on_master)
    begin_jobs(struct queue *q, struct batch *b, const struct redis_reply *payload, uint32_t n,
               bool wanted)
{
    if (batch_fill(b, n, NULL, 0) < 0) {
        (void)batch_free(b); /* a comparison finds it again */
        master_short(q->master);
        owner_raise(q);
        return;
    }
    queue_add(q, b);
    q->unread += n;
    q->master->unread += n;
    for (uint32_t i = 0; wanted && i < n; i++) {
        struct job *j = queue_new_job(b, i, &payload[i]);
        if (!j) {
            master_short(q->master); /* the rest is read again later */
            break;
        }
        b->job[i] = j;
        b->read++;
        q->unread--;
        q->master->unread--;
        dispatch_read(j);
    }
    if (!wanted)
        giveback_batch(b);
    dispatch_pump(q);
}

static bool well_formed(const struct redis_reply *r)
{
    if (r->type != REDIS_ARRAY || r->n < 2 || r->item[0].type != REDIS_STRING ||
        r->item[1].type != REDIS_INTEGER)
        return false;
    for (size_t i = 2; i < r->n; i++)
        if (r->item[i].type != REDIS_STRING && r->item[i].type != REDIS_LARGE)
            return false;
    return true;
}

/* Takes b. */
static void RUNS_ON(on_master)
    claimed(struct queue *q, struct batch *b, bool pop, const struct redis_reply *r)
{
    uint32_t n = (uint32_t)(r->n - 2);
    q->claim.depth = r->item[1].integer;
    if (redis_is(&r->item[0], "ok") && n && b->epoch == q->epoch) {
        q->claim.pause_ms = 0;
        trouble_over(&q->trouble, TROUBLE_CLAIM);
        bool room = !pop || queue_room(q);
        if (!room && q->claim.depth < 1)
            q->claim.depth = 1; /* it goes back: the next claim is a burst, which holds a slot */
        begin_jobs(q, b, r->item + 2, n, room && !master_quiet(q->master));
        return;
    }
    if (redis_is(&r->item[0], "ok")) {
        q->claim.pause_ms = 0;
        trouble_over(&q->trouble, TROUBLE_CLAIM);
    } else if (pop) {
        claim_put_back(q);
    }
    if (redis_is(&r->item[0], "paused"))
        pause_queue(q);
    else if (redis_is(&r->item[0], "not owner") && b->epoch == q->epoch)
        owner_doubt(q);
    (void)batch_free(b);
}

static void RUNS_ON(on_master)
    on_claim(struct redis_link *link, const struct redis_reply *r, void *data)
{
    (void)link;
    struct queue *q = data;
    struct claim *c = &q->claim;
    struct batch *b = c->batch;
    bool pop = c->pop;
    c->batch = NULL;
    queue_unreserve(q, c->reserved);
    c->reserved = 0;
    if (r && well_formed(r)) {
        claimed(q, b, pop, r); /* the turn's end claims again, if it is this queue's turn */
        return master_step(q->master);
    }
    if (r) {
        trouble_is(&q->trouble, TROUBLE_CLAIM, q->conf->name, r);
        back_off(q);
        if (pop)
            claim_put_back(q);
    }
    if (b->epoch == q->epoch)
        owner_raise(q);
    (void)batch_free(b);
    master_step(q->master);
}

/* BLMOVE's own answer counts only when it is a refusal: a full Redis takes no pop. */
static void on_pop(struct redis_link *link, const struct redis_reply *r, void *data)
{
    (void)link;
    struct queue *q = data;
    if (!r)
        return;
    if (r->type != REDIS_ERROR) {
        trouble_over(&q->trouble, TROUBLE_POP);
        return;
    }
    trouble_is(&q->trouble, TROUBLE_POP, q->conf->name, r);
    q->claim.full_until_ms = clock_now_ms() + 1000;
}

static int RUNS_ON(on_master) send_pop(struct queue *q)
{
    struct redis_command *c = q->master->command;
    int64_t blocked = (int64_t)q->master->nqueues,
            seconds = blocked > POP_SECONDS ? blocked : POP_SECONDS;
    redis_begin(c, "BLMOVE");
    redis_arg_text(c, q->key.queue);
    redis_arg_text(c, q->key.popped);
    redis_arg_text(c, "RIGHT");
    redis_arg_text(c, "LEFT");
    redis_arg_int(c, seconds);
    return redis_send(q->claim.link, c, seconds * 1000 + q->master->conf->redis.command_timeout_ms,
                      on_pop, q);
}

static int RUNS_ON(on_master) send_claim(struct queue *q, struct batch *b, uint32_t n, bool pop)
{
    char *entry = batch_entry(b);
    if (!entry)
        return -1;
    struct redis_command *c = queue_script(q, "claim", 6);
    redis_arg_text(c, q->key.owner);
    redis_arg_text(c, q->key.paused);
    redis_arg_text(c, q->key.queue);
    redis_arg_text(c, pop ? q->key.popped : q->key.queue);
    redis_arg_text(c, b->list);
    redis_arg_text(c, q->key.batches);
    redis_arg_text(c, q->epoch->name);
    redis_arg_int(c, (int64_t)q->owner.number);
    redis_arg_text(c, b->field);
    redis_arg_text(c, entry);
    redis_arg_int(c, n);
    redis_arg_int(c, BURST_BYTES);
    int r = redis_send(q->claim.link, c, 0, on_claim, q);
    free(entry);
    return r;
}

static bool RUNS_ON(on_master) claim(struct queue *q, uint32_t n, bool pop)
{
    struct claim *c = &q->claim;
    struct batch *b = batch_new(q, "", ++q->master->batch_numbers);
    if (!b || (pop && send_pop(q) < 0) || send_claim(q, b, n, pop) < 0) {
        (void)batch_free(b);
        again_in(q, 1000);
        return false;
    }
    c->batch = b;
    c->pop = pop;
    c->reserved =
        pop ? 0 : n; /* a blocked pop holds no slot: what comes while none is free goes back */
    queue_reserve(q, c->reserved);
    return true;
}

static bool allowed(const struct queue *q)
{
    return !q->claim.batch && !q->claim.paused && !q->recover.owed && !master_quiet(q->master) &&
           owner_current(q) && owner_sure(q) && redis_link_up(q->claim.link) &&
           !ev_is_active(&q->claim.again);
}

/* Slots are shared by the queues that have something waiting. */
static uint32_t fair_share(const struct queue *q, uint32_t room)
{
    uint32_t busy = 0;
    for (size_t i = 0; i < q->master->nqueues; i++)
        busy += q->master->queues[i]->claim.depth > 0;
    uint32_t share = busy > 1 ? (room + busy - 1) / busy : room;
    return share < BURST_JOBS ? share : BURST_JOBS;
}

bool claim_kick(struct queue *q)
{
    uint32_t room;
    if (!allowed(q) || master_is_short(q->master) || !(room = queue_room(q)))
        return false;
    bool full = clock_now_ms()<q->claim.full_until_ms, burst = q->claim.depth> 0 || full;
    bool sent = claim(q, burst ? fair_share(q, room) : 1, !burst);
    if (full && q->claim.depth == 0)
        again_in(q, 100); /* the burst that asks takes the place of the pop: ten a second */
    return sent;
}

/* What it still brings lies in passage, or in a batch where the claim behind it came through. */
void claim_stop(struct queue *q)
{
    if (q->claim.batch && q->claim.pop)
        redis_link_reset(q->claim.link);
}
