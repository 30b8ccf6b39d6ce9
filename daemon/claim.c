/* New jobs, never more than there are free slots. One claim of a queue is out at a time:
 *
 *   burst  the list was not empty: claim(Q -> batch, n)
 *   pop    it was empty: BLMOVE Q popped, and behind it, in the same write,
 *          claim(popped -> batch, 1); Redis answers both at once
 *
 * Only the script's answer counts: it may have moved another job than BLMOVE names. A claim that
 * was cut, given up or refused may have moved jobs all the same: the link number is raised, then a
 * comparison finds them (owner.c, recover.c).
 *
 * Once a turn the free slots are dealt out (share.h) to the queues that have something waiting,
 * fresh or due again (due.c), and pops are sent for those that are not known to. A pop holds no
 * slot: what comes while none is free goes back, and is a burst's then. Each queue pops over a link
 * of its own; more than MANY_QUEUES share a few links for their bursts, and tracking.c tells which
 * list has something. */
#include "daemon/queue.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "daemon/master.h"
#include "daemon/share.h"
#include "daemon/timer.h"

#define BURST_JOBS 1000
#define BURST_BYTES (1 << 20)
#define POP_SECONDS 5 /* or as many as there are links that may be blocked */
#define SHARED_LINKS 4
#define BACKOFF_MIN_MS 100
#define BACKOFF_MAX_MS 5000
#define STOP_LOOK_MS 50

struct claims {
    struct queue **wanting; /* each once: what may be claimed or popped next turn */
    struct share_want *want;
    size_t n;
    struct share_class *classes;
    struct redis_link *shared[SHARED_LINKS]; /* of many queues */
};

static void on_refused(struct redis_link *link, const struct err *why, void *data)
{
    (void)link;
    struct master *m = data;
    if (!redis_ever_connected(m->redis))
        master_refuse(m, 78, why->text);
}

/* The turn in which a link comes up ends with a deal, and a cut answers the claim that was out. */
static void on_up(struct redis_link *link, void *data)
{
    (void)link, (void)data;
}

static const struct redis_events link_events = {.up = on_up, .refused = on_refused};

struct claims *claims_new(struct master *m, size_t queues)
{
    struct claims *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->wanting = calloc(queues, sizeof(struct queue *));
    c->want = calloc(queues, sizeof *c->want);
    bool whole = c->wanting && c->want;
    for (unsigned i = 0; whole && m->many && i < SHARED_LINKS; i++) {
        char name[] = "claim-0";
        name[sizeof name - 2] = (char)('0' + i);
        c->shared[i] = redis_link_new(m->redis, name, &link_events, m);
        whole = c->shared[i];
    }
    return whole ? c : claims_free(c);
}

struct claims *claims_free(struct claims *c)
{
    if (!c)
        return NULL;
    for (unsigned i = 0; i < SHARED_LINKS; i++)
        (void)redis_link_free(c->shared[i]);
    share_free(&c->classes);
    free(c->wanting);
    free(c->want);
    free(c);
    return NULL;
}

static void stop_step(struct queue *q);

static void on_again(struct ev_loop *loop, ev_timer *w, int revents)
{
    (void)loop, (void)revents;
    thread_assert(&on_master);
    struct queue *q = w->data;
    if (q->claim.stopping)
        stop_step(q);
    else
        claim_kick(q);
}

int claim_open(struct queue *q)
{
    struct master *m = q->master;
    ev_timer_init(&q->claim.again, on_again, 0, 0);
    q->claim.again.data = q;
    q->claim.depth = m->many ? 0 : BURST_JOBS; /* not known yet: the first claim asks */
    q->claim.link = m->many ? m->claims->shared[m->nqueues % SHARED_LINKS]
                            : redis_link_new(m->redis, q->conf->label, &link_events, m);
    if (!q->claim.link ||
        share_join(&m->claims->classes, &q->claim.share, q->conf->priority, q->conf->weight) < 0)
        return -1;
    claim_kick(q);
    return 0;
}

static void leave(struct claims *c, size_t i)
{
    struct queue *q = c->wanting[i];
    q->claim.wanting = false;
    share_rest(&q->claim.share);
    c->wanting[i] = c->wanting[--c->n];
}

void claim_close(struct queue *q)
{
    struct claims *c = q->master->claims;
    ev_timer_stop(q->master->loop, &q->claim.again);
    for (size_t i = 0; c && q->claim.wanting && i < c->n; i++)
        if (c->wanting[i] == q)
            leave(c, i);
    if (!q->master->many)
        (void)redis_link_free(q->claim.link);
    q->claim.link = NULL;
}

bool claim_out(const struct queue *q)
{
    return q->claim.batch || q->due.batch;
}

static void again_in(struct queue *q, int64_t ms)
{
    timer_in(q->master->loop, &q->claim.again, ms);
}

static void back_off(struct queue *q)
{
    struct claim *c = &q->claim;
    c->pause_ms = timer_backoff(c->pause_ms, BACKOFF_MIN_MS, BACKOFF_MAX_MS);
    again_in(q, c->pause_ms);
}

/* ---- claims ---- */

void claim_begin(struct batch *b, const struct redis_reply *element, uint32_t n, bool wanted)
{
    struct queue *q = b->queue;
    if (b->once)
        return once_begin(b, element, n, wanted);
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
        struct job *j = queue_new_job(b, i, &element[i]);
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

bool claim_well_formed(const struct redis_reply *r, bool once)
{
    if (r->type != REDIS_ARRAY || r->n < 2 || r->item[1].type != REDIS_INTEGER)
        return false;
    const struct redis_reply *what = &r->item[0];
    if (!redis_is(what, "ok"))
        return r->n == 2 && (redis_is(what, "paused") || redis_is(what, "not owner"));
    for (size_t i = 2; i < r->n; i++)
        if (!redis_is_payload(&r->item[i]) && !(once && r->item[i].type == REDIS_INTEGER))
            return false;
    return true;
}

/* Takes b. */
static void RUNS_ON(on_master)
    claimed(struct queue *q, struct batch *b, bool pop, const struct redis_reply *r)
{
    uint32_t n = (uint32_t)(r->n - 2);
    q->claim.depth = r->item[1].integer;
    if (redis_is(&r->item[0], "ok")) {
        q->claim.pause_ms = 0;
        trouble_over(&q->trouble, TROUBLE_CLAIM);
    } else if (pop) {
        passage_clear(q);
    }
    if (n && (b->once || b->epoch == q->epoch)) {
        share_charge(&q->claim.share, n);
        bool room = !pop || queue_room_now(q);
        if (!room && q->claim.depth < 1)
            q->claim.depth = 1; /* it goes back: the next claim is a burst, which holds a slot */
        claim_begin(b, r->item + 2, n, room && !queue_stands_still(q));
        return;
    }
    if (redis_is(&r->item[0], "paused"))
        pause_begin(q);
    else if (redis_is(&r->item[0], "not owner") && b->epoch == q->epoch)
        owner_doubt(q);
    (void)batch_free(b);
}

static void RUNS_ON(on_master)
    on_claim(struct redis_link *link, const struct redis_reply *r, void *data)
{
    struct queue *q = data;
    struct claim *c = &q->claim;
    struct batch *b = c->batch;
    bool pop = c->pop;
    uint32_t reserved = c->reserved;
    c->batch = NULL;
    queue_unreserve(q, c->reserved);
    share_charge(&c->share, -(int64_t)c->reserved);
    c->reserved = 0;
    claim_kick(q);
    if (r && claim_well_formed(r, b->once)) {
        claimed(q, b, pop, r);
        return master_step(q->master);
    }
    if (r) {
        trouble_is(&q->trouble, TROUBLE_CLAIM, q->conf->name, r);
        back_off(q);
        if (pop)
            passage_clear(q);
    }
    if (b->once && !redis_link_finished(link))
        once_unanswered(b, r, pop ? 1 : reserved);
    c->stopping = 0;
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
    if (r->type != REDIS_ERROR)
        return trouble_over(&q->trouble, TROUBLE_POP);
    if (!redis_is_error(r, "WRONGTYPE")) /* of which key says the claim behind it */
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
    const char *source = pop ? q->key.popped : q->key.queue;
    /* Behind the settles whose slots it counts with: Redis never has more jobs taken than slots. */
    struct redis_link *link = !pop && q->master->settling ? q->master->work : q->claim.link;
    if (b->once)
        return redis_send(link, once_claim(b, source, n, BURST_BYTES), 0, on_claim, q);
    char *entry = batch_entry(b);
    if (!entry)
        return -1;
    struct redis_command *c = queue_script(q, "claim", 6);
    redis_arg_text(c, q->key.owner);
    redis_arg_text(c, q->key.paused);
    redis_arg_text(c, q->key.queue);
    redis_arg_text(c, source);
    redis_arg_text(c, b->list);
    redis_arg_text(c, q->key.batches);
    redis_arg_text(c, q->epoch->name);
    redis_arg_int(c, (int64_t)q->owner.number);
    redis_arg_text(c, b->field);
    redis_arg_text(c, entry);
    redis_arg_int(c, n);
    redis_arg_int(c, BURST_BYTES);
    int r = redis_send(link, c, 0, on_claim, q);
    free(entry);
    return r;
}

static void RUNS_ON(on_master) claim(struct queue *q, uint32_t n, bool pop)
{
    struct claim *c = &q->claim;
    struct batch *b = batch_new(q, "", ++q->master->batch_numbers);
    if (b)
        b->once = once_is(q);
    if (!b || (pop && send_pop(q) < 0) || send_claim(q, b, n, pop) < 0) {
        (void)batch_free(b);
        return again_in(q, 1000);
    }
    c->batch = b;
    c->pop = pop;
    c->reserved = pop ? 0 : n;
    queue_reserve(q, c->reserved);
    share_charge(&c->share, c->reserved);
    if (!pop)
        due_next(q);
}

/* ---- a turn ---- */

static bool allowed(const struct queue *q)
{
    return !q->claim.batch && !q->recover.owed && owner_current(q) && owner_sure(q) &&
           redis_link_up(q->claim.link) && !ev_is_active(&q->claim.again);
}

static bool knows_of_jobs(const struct queue *q)
{
    return q->claim.depth > 0 || clock_now_ms() < q->claim.full_until_ms;
}

/* The slots that fresh jobs could use. A little more than lie there: more may have come. */
static uint32_t fresh_wanted(const struct queue *q, uint32_t room)
{
    const struct claim *c = &q->claim;
    int64_t n = c->batch ? c->depth - c->reserved : c->depth > 0 ? 2 * c->depth + 8 : BURST_JOBS;
    if ((!c->batch && !allowed(q)) || !knows_of_jobs(q) || n <= 0)
        return 0;
    n = n < BURST_JOBS ? n : BURST_JOBS;
    return n < room ? (uint32_t)n : room;
}

static uint32_t wanted(const struct queue *q)
{
    uint32_t room = queue_room(q), n = fresh_wanted(q, room);
    return n + due_wanted(q, room - n);
}

/* Nothing for it to do until its answer comes, its pause ends, or its list holds something. */
static bool rests(const struct queue *q)
{
    if (q->due.ready > 0 && !q->pause.on)
        return false;
    if (q->claim.batch)
        return q->claim.pop;
    return q->pause.on || (q->master->many && !knows_of_jobs(q));
}

/* True: it would, if slots were free that are only free behind settles. */
static bool RUNS_ON(on_master) pop_where_idle(struct queue *q)
{
    bool pops = !knows_of_jobs(q) && allowed(q) && !q->pause.on && !q->master->many;
    if (pops && queue_room_now(q))
        claim(q, 1, true);
    return pops && !q->claim.batch && queue_room(q);
}

static void RUNS_ON(on_master) burst(struct queue *q, uint32_t n)
{
    claim(q, n, false);
    if (q->claim.depth <= 0)
        again_in(q, 100); /* the burst that asks takes the place of the pop: ten a second */
}

static void RUNS_ON(on_master) serve(struct queue *q, uint32_t slots)
{
    uint32_t due = due_part(q, slots, fresh_wanted(q, slots));
    if (due && !q->due.batch)
        due_claim(q, due);
    if (slots > due && !q->claim.batch)
        burst(q, slots - due);
}

void claim_turn(struct master *m)
{
    struct claims *c = m->claims;
    uint32_t taken = m->held - m->settling + m->unread;
    bool kept = false; /* for a pop: the slots that settles lend are not lent */
    if (m->slots <= taken || master_is_short(m))
        return;
    for (size_t i = 0; i < c->n;) {
        struct queue *q = c->wanting[i];
        kept = pop_where_idle(q) || kept;
        if (rests(q)) {
            leave(c, i);
            continue;
        }
        c->want[i++] =
            (struct share_want){.share = &q->claim.share, .want = wanted(q), .busy = claim_out(q)};
    }
    taken += kept ? m->settling : 0;
    share_deal(c->want, c->n, m->slots > taken ? m->slots - taken : 0);
    for (size_t i = 0; i < c->n; i++)
        if (c->want[i].got)
            serve(c->wanting[i], c->want[i].got);
}

void claim_kick(struct queue *q)
{
    struct claims *c = q->master->claims;
    if (!c || q->claim.wanting)
        return; /* without claims: the end of the work link answers what was out over it */
    q->claim.wanting = true;
    c->wanting[c->n++] = q;
}

bool claim_is_busy(const struct queue *q)
{
    return q->claim.batch || q->claim.depth > 0;
}

void claim_seen(struct queue *q, int64_t jobs)
{
    if (claim_is_busy(q) || jobs <= 0)
        return;
    q->claim.depth = jobs;
    rest_end(q);
    claim_kick(q);
}

/* The raise is confirmed: the claim behind the pop takes nothing from here. If it took something
 * before, its answer was sent before and may be slower over its own connection: that is read to its
 * end, which the server gives it once it knows that nothing more will be asked. */
static void RUNS_ON(on_master) stop_step(struct queue *q)
{
    struct claim *c = &q->claim;
    if (!c->batch || !c->pop) {
        c->stopping = 0;
        return claim_kick(q);
    }
    c->stopping += owner_current(q);
    if (c->stopping > 2)
        redis_link_finish(c->link);
    again_in(q, STOP_LOOK_MS);
}

/* What it still brings lies in passage, or in a batch where the claim behind it came through. Where
 * that is the only place of the job, its answer is waited for, or made impossible, first. */
void claim_stop(struct queue *q)
{
    struct claim *c = &q->claim;
    if (!c->batch || !c->pop)
        return;
    if (!c->batch->once)
        return redis_link_reset(c->link);
    if (c->stopping)
        return;
    c->stopping = 1;
    if (c->batch->epoch == q->epoch)
        owner_raise(q);
    again_in(q, STOP_LOOK_MS);
}
