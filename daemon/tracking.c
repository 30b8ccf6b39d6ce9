#include "daemon/tracking.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "daemon/master.h"
#include "daemon/queue.h"
#include "daemon/timer.h"

#define CHANNEL "__redis__:invalidate"
#define CHECK_MS 5000  /* is the hearer still there */
#define SWEEP_MS 30000 /* everything is read */
#define BLIND_MS 1000  /* ... while nothing is tracked */

struct tracking {
    struct master *master;
    struct redis_link *hearer, *reader;
    int64_t id;  /* of the hearer's connection; 0: it does not hear yet */
    bool tracks; /* what was read since is heard of */
    bool told;   /* that it may not */
    bool asking; /* CLIENT ID or SUBSCRIBE is out */
    int64_t swept_ms;
    ev_timer tick;
    struct tracked_key *keys;
    size_t nkeys;
    struct queue **stale; /* each once */
    size_t nstale;
};

/* ---- names ---- */

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct tracked_key *)a)->name, ((const struct tracked_key *)b)->name);
}

void tracked_sort(struct tracked_key *keys, size_t n)
{
    qsort(keys, n, sizeof *keys, by_name);
}

/* As strcmp of the name, which may hold NULs, and a key's. */
static int compare(const char *name, size_t len, const char *key)
{
    size_t n = strlen(key);
    int r = memcmp(name, key, len < n ? len : n);
    return r ? r : (len > n) - (len < n);
}

const struct tracked_key *tracked_find(const struct tracked_key *keys, size_t n, const char *name,
                                       size_t len)
{
    size_t low = 0, high = n;
    while (low < high) {
        size_t at = (low + high) / 2;
        int r = compare(name, len, keys[at].name);
        if (!r)
            return &keys[at];
        if (r < 0)
            high = at;
        else
            low = at + 1;
    }
    return NULL;
}

/* ---- what is out of date ---- */

bool tracking_hears(const struct tracking *t)
{
    return t && t->tracks;
}

void tracking_stale(struct queue *q, enum tracked what)
{
    struct tracking *t = q->master->tracking;
    unsigned wanted = q->rest.asks ? what : what & ~(unsigned)TRACKED_IN_FLIGHT;
    q->tracked.stale |= wanted;
    if (!t || !wanted || q->tracked.listed)
        return;
    q->tracked.listed = true;
    t->stale[t->nstale++] = q;
}

static void everything_is_stale(struct tracking *t)
{
    t->swept_ms = clock_now_ms();
    for (size_t i = 0; i < t->master->nqueues; i++)
        tracking_stale(t->master->queues[i], TRACKED_ALL);
}

/* An answer came, or will not: true where it is one. */
static bool RUNS_ON(on_master)
    was_read(struct queue *q, enum tracked what, enum trouble_at at, const struct redis_reply *r)
{
    bool number = r && r->type == REDIS_INTEGER;
    q->tracked.reading &= ~(unsigned)what;
    if (number)
        trouble_over(&q->trouble, at);
    else if (r)
        trouble_is(&q->trouble, at, q->conf->name, r); /* it is tracked all the same */
    return number;
}

static void RUNS_ON(on_master)
    on_length(struct redis_link *link, const struct redis_reply *r, void *data)
{
    (void)link;
    struct queue *q = data;
    if (was_read(q, TRACKED_LIST, TROUBLE_POP, r))
        claim_seen(q, r->integer);
}

static void RUNS_ON(on_master)
    on_pause(struct redis_link *link, const struct redis_reply *r, void *data)
{
    (void)link;
    struct queue *q = data;
    if (was_read(q, TRACKED_PAUSED, TROUBLE_POP, r))
        pause_seen(q, r->integer);
}

static void RUNS_ON(on_master)
    on_retries(struct redis_link *link, const struct redis_reply *r, void *data)
{
    (void)link;
    struct queue *q = data;
    if (was_read(q, TRACKED_RETRY, TROUBLE_DUE, r))
        due_seen_retries(q, r->integer > 0);
}

static void RUNS_ON(on_master)
    on_delayed(struct redis_link *link, const struct redis_reply *r, void *data)
{
    (void)link;
    struct queue *q = data;
    if (was_read(q, TRACKED_DELAYED, TROUBLE_DELAYED, r))
        due_seen_delayed(q, r->integer > 0);
}

static void RUNS_ON(on_master)
    on_batches(struct redis_link *link, const struct redis_reply *r, void *data)
{
    (void)link;
    struct queue *q = data;
    if (was_read(q, TRACKED_BATCHES, TROUBLE_RECOVER, r))
        rest_seen(q, TRACKED_BATCHES, r->integer > 0);
}

static void RUNS_ON(on_master)
    on_passage(struct redis_link *link, const struct redis_reply *r, void *data)
{
    (void)link;
    struct queue *q = data;
    if (was_read(q, TRACKED_PASSAGE, TROUBLE_POP, r))
        rest_seen(q, TRACKED_PASSAGE, r->integer > 0);
}

static const struct {
    enum tracked what;
    const char *command;
    redis_fn fn;
} reads[] = {
    {TRACKED_LIST, "LLEN", on_length},       {TRACKED_PAUSED, "PTTL", on_pause},
    {TRACKED_RETRY, "ZCARD", on_retries},    {TRACKED_DELAYED, "ZCARD", on_delayed},
    {TRACKED_BATCHES, "EXISTS", on_batches}, {TRACKED_PASSAGE, "EXISTS", on_passage},
};

static const char *key_of(const struct queue *q, enum tracked what)
{
    switch (what) {
    case TRACKED_LIST:
        return q->key.queue;
    case TRACKED_RETRY:
        return q->key.retry;
    case TRACKED_DELAYED:
        return q->key.delayed;
    case TRACKED_BATCHES:
        return q->key.batches;
    case TRACKED_PASSAGE:
        return q->key.popped;
    default:
        return q->key.paused;
    }
}

/* What is being read already is read again behind the answer. The list of a queue that claims is
 * read when its claims find nothing any more: until then each of them would only be heard of. */
static unsigned readable(const struct queue *q)
{
    unsigned stale = q->tracked.stale & ~q->tracked.reading;
    return claim_is_busy(q) ? stale & ~(unsigned)TRACKED_LIST : stale;
}

static void RUNS_ON(on_master) read_queue(struct tracking *t, struct queue *q)
{
    unsigned now = readable(q);
    for (size_t i = 0; i < sizeof reads / sizeof *reads; i++) {
        struct redis_command *c = t->master->command;
        if (!(now & reads[i].what))
            continue;
        redis_begin(c, reads[i].command);
        redis_arg_text(c, key_of(q, reads[i].what));
        if (redis_send(t->reader, c, 0, reads[i].fn, q) < 0)
            return;
        q->tracked.stale &= ~(unsigned)reads[i].what;
        q->tracked.reading |= reads[i].what;
    }
}

void tracking_turn(struct tracking *t)
{
    size_t kept = 0;
    if (!redis_link_up(t->reader))
        return;
    for (size_t i = 0; i < t->nstale; i++) {
        struct queue *q = t->stale[i];
        read_queue(t, q);
        q->tracked.listed = q->tracked.stale;
        if (q->tracked.listed)
            t->stale[kept++] = q;
    }
    t->nstale = kept;
}

/* ---- tracking ---- */

static void tick_in(struct tracking *t, int64_t ms)
{
    timer_in(t->master->loop, &t->tick, ms);
}

static void blind(struct tracking *t)
{
    t->tracks = false;
    tick_in(t, BLIND_MS);
}

/* A right is missing: everything is read every second. */
static void RUNS_ON(on_master) refused(struct tracking *t, const struct redis_reply *r)
{
    char quoted[LOG_QUOTE_MAX];
    const char *error = r->type == REDIS_ERROR ? r->str : "an answer of another shape";
    blind(t);
    if (t->told)
        return;
    t->told = true;
    log_warn("not-tracking",
             "queues=%zu error=%s what='every queue is asked for jobs once a second: grant CLIENT "
             "ID, CLIENT TRACKING, SUBSCRIBE and the channel " CHANNEL "'",
             t->master->nqueues, log_quote(error, strlen(error), quoted));
}

static void RUNS_ON(on_master)
    on_tracking(struct redis_link *link, const struct redis_reply *r, void *data)
{
    (void)link;
    struct tracking *t = data;
    if (!r || !t->id)
        return;
    if (!redis_is(r, "OK"))
        return refused(t, r);
    if (t->told)
        log_info("tracking", "queues=%zu", t->master->nqueues);
    t->told = false;
    t->tracks = true;
    everything_is_stale(t);
    tick_in(t, CHECK_MS);
}

static struct redis_command *client(struct tracking *t, const char *word)
{
    struct redis_command *c = t->master->command;
    redis_begin(c, "CLIENT");
    redis_arg_text(c, word);
    return c;
}

static void RUNS_ON(on_master) track(struct tracking *t)
{
    struct redis_command *c = client(t, "TRACKING");
    redis_arg_text(c, "ON");
    redis_arg_text(c, "REDIRECT");
    redis_arg_int(c, t->id);
    (void)redis_send(t->reader, c, 0, on_tracking, t);
}

static void RUNS_ON(on_master)
    on_subscribed(struct redis_link *link, const struct redis_reply *r, void *data)
{
    (void)link;
    struct tracking *t = data;
    t->asking = false;
    if (r && r->type == REDIS_ARRAY)
        return track(t);
    t->id = 0;
    if (r)
        refused(t, r);
}

static void RUNS_ON(on_master)
    on_id(struct redis_link *link, const struct redis_reply *r, void *data)
{
    struct tracking *t = data;
    t->asking = false;
    if (!r)
        return;
    if (r->type != REDIS_INTEGER)
        return refused(t, r);
    t->id = r->integer;
    struct redis_command *c = t->master->command;
    redis_begin(c, "SUBSCRIBE");
    redis_arg_text(c, CHANNEL);
    t->asking = redis_send(link, c, 0, on_subscribed, t) == 0;
    if (!t->asking)
        t->id = 0;
}

/* Where it is not heard: a connection that hears first, then what it is to hear. */
static void RUNS_ON(on_master) begin(struct tracking *t)
{
    if (t->asking)
        return;
    if (t->id)
        track(t);
    else
        t->asking = redis_send(t->hearer, client(t, "ID"), 0, on_id, t) == 0;
}

/* [message, channel, [key ...]]; no keys: all of them. */
static void on_message(struct redis_link *link, const struct redis_reply *r, void *data)
{
    (void)link;
    thread_assert(&on_master);
    struct tracking *t = data;
    const struct redis_reply *keys = &r->item[2];
    if (keys->type == REDIS_NIL)
        return everything_is_stale(t);
    for (size_t i = 0; keys->type == REDIS_ARRAY && i < keys->n; i++) {
        const struct redis_reply *key = &keys->item[i];
        const struct tracked_key *k =
            key->type == REDIS_STRING ? tracked_find(t->keys, t->nkeys, key->str, key->len) : NULL;
        if (!k)
            continue;
        tracking_stale(k->queue, k->what);
        if (k->what == TRACKED_LIST)
            claim_seen(k->queue, 1); /* most likely a push: claimed now, and read behind it */
    }
}

/* ---- is it still so ---- */

/* Who may not ask goes by the hearer's PING alone. */
static bool is_broken(const struct redis_reply *info)
{
    const struct redis_reply *flags = NULL;
    if (info->type == REDIS_ERROR)
        return false;
    for (size_t i = 0; info->type == REDIS_ARRAY && i + 1 < info->n; i += 2)
        if (redis_is(&info->item[i], "flags"))
            flags = &info->item[i + 1];
    bool on = false, broken = !flags || flags->type != REDIS_ARRAY;
    for (size_t i = 0; !broken && i < flags->n; i++) {
        on = on || redis_is(&flags->item[i], "on");
        broken = redis_is(&flags->item[i], "broken_redirect");
    }
    return broken || !on;
}

static void RUNS_ON(on_master)
    on_info(struct redis_link *link, const struct redis_reply *r, void *data)
{
    (void)link;
    struct tracking *t = data;
    if (!r || !t->tracks || !is_broken(r))
        return;
    log_info("tracking-broken", "queues=%zu what='beginning anew'", t->master->nqueues);
    t->id = 0;
    blind(t);
    redis_link_reset(t->hearer);
}

static void RUNS_ON(on_master) check(struct tracking *t)
{
    redis_begin(t->master->command, "PING");
    (void)redis_send(t->hearer, t->master->command, 0, NULL, NULL);
    (void)redis_send(t->reader, client(t, "TRACKINGINFO"), 0, on_info, t);
}

static void on_tick(struct ev_loop *loop, ev_timer *w, int revents)
{
    (void)loop, (void)revents;
    thread_assert(&on_master);
    struct tracking *t = w->data;
    if (t->tracks)
        check(t);
    else
        begin(t);
    if (!t->tracks || clock_now_ms() - t->swept_ms >= SWEEP_MS)
        everything_is_stale(t);
    tick_in(t, t->tracks ? CHECK_MS : BLIND_MS);
}

/* ---- links ---- */

static void on_hearer_up(struct redis_link *link, void *data)
{
    (void)link;
    thread_assert(&on_master);
    struct tracking *t = data;
    t->id = 0;
    blind(t);
    begin(t);
}

static void on_hearer_down(struct redis_link *link, const struct err *why, void *data)
{
    (void)link, (void)why;
    struct tracking *t = data;
    t->id = 0;
    blind(t);
}

static void on_reader_up(struct redis_link *link, void *data)
{
    (void)link;
    thread_assert(&on_master);
    struct tracking *t = data;
    blind(t);
    everything_is_stale(t);
    begin(t);
}

static void on_reader_down(struct redis_link *link, const struct err *why, void *data)
{
    (void)link, (void)why;
    blind(data);
}

static void on_refused(struct redis_link *link, const struct err *why, void *data)
{
    (void)link;
    struct master *m = ((struct tracking *)data)->master;
    if (!redis_ever_connected(m->redis))
        master_refuse(m, 78, why->text);
}

static const struct redis_events hearer_events = {
    .up = on_hearer_up, .down = on_hearer_down, .refused = on_refused};
static const struct redis_events reader_events = {
    .up = on_reader_up, .down = on_reader_down, .refused = on_refused};

static void name_keys(struct tracking *t)
{
    for (size_t i = 0; i < t->master->nqueues; i++)
        for (size_t n = 0; n < sizeof reads / sizeof *reads; n++) {
            struct queue *q = t->master->queues[i];
            t->keys[t->nkeys++] = (struct tracked_key){
                .name = key_of(q, reads[n].what), .queue = q, .what = reads[n].what};
        }
    tracked_sort(t->keys, t->nkeys);
}

struct tracking *tracking_new(struct master *m)
{
    struct tracking *t = calloc(1, sizeof *t);
    if (!t)
        return NULL;
    t->master = m;
    ev_init(&t->tick, on_tick);
    t->tick.data = t;
    t->keys = calloc(m->nqueues * (sizeof reads / sizeof *reads), sizeof *t->keys);
    t->stale = calloc(m->nqueues, sizeof(struct queue *));
    t->hearer = redis_link_new(m->redis, "hearer", &hearer_events, t);
    t->reader = redis_link_new(m->redis, "reader", &reader_events, t);
    if (!t->keys || !t->stale || !t->hearer || !t->reader)
        return tracking_free(t);
    redis_link_listen(t->hearer, on_message);
    name_keys(t);
    return t;
}

struct tracking *tracking_free(struct tracking *t)
{
    if (!t)
        return NULL;
    (void)redis_link_free(t->hearer);
    (void)redis_link_free(t->reader);
    ev_timer_stop(t->master->loop, &t->tick);
    free(t->keys);
    free(t->stale);
    free(t);
    return NULL;
}
