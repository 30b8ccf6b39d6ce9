/* What lies in Redis and is mine to run: after every registration and cut, every minute, and when a
 * look finds an epoch open. One recovery of a queue at a time; each step is the answer to the one
 * before, and of what is asked of each batch a bounded number is out at once:
 *
 *   fenced -> scan batches -> compare with memory -> fence dead runs -> watch strays
 *          -> take (what another left: one by one, waits for a slot) -> scan again
 *          nothing left of an open epoch: mark it empty -> over
 *
 * The comparison uses the link that carries settles, so their answers come in order. Judged are
 * only batches about which nothing is out. A cut starts it anew, once the raised link number is
 * confirmed. What Redis refuses of one batch is said and holds nothing up: it is tried again
 * later. */
#include "daemon/recovery.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "daemon/master.h"
#include "daemon/timer.h"

void recover_wait(struct queue *q, bool waiting)
{
    q->master->waiting += waiting;
    q->master->waiting -= q->recover.waiting;
    q->recover.waiting = waiting;
}

static void recovery_free(struct recovery *x)
{
    struct recover *of = &x->queue->recover;
    if (of->run == x) {
        recover_wait(x->queue, false);
        of->run = NULL;
    }
    of->owed = of->owed || x->calls; /* what is still taken is found by the next one */
    of->compared = of->compared && !x->calls;
    for (struct recover_call *c = x->calls; c; c = c->next)
        c->of = NULL;
    epochs_clear(&x->open);
    entries_clear(&x->entries);
    (void)epoch_unref(x->epoch);
    free(x);
}

static void retry_in(struct queue *q, int64_t ms)
{
    timer_in(q->master->loop, &q->recover.retry, ms);
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
}

void recover_give_up(struct recovery *x)
{
    struct queue *q = x->queue;
    recovery_free(x);
    retry_in(q, 500); /* recover_start looks whether the links are up */
}

static void RUNS_ON(on_master) over(struct recovery *x)
{
    struct queue *q = x->queue;
    bool again = q->recover.again, refused = x->refused, paused = x->paused;
    q->recover.again = false;
    q->recover.owed =
        paused || (again && q->recover.owed); /* what it was asked for may be newer than it */
    q->recover.compared = !again;
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
        retry_in(q, refused ? q->master->conf->lease_ms / 3 : 0);
}

void recover_passed_over(struct recovery *x, const struct redis_reply *r)
{
    x->refused = true;
    trouble_is(&x->queue->trouble, TROUBLE_RECOVER, x->queue->conf->name, r);
}

bool recover_unusable(struct recovery *x, const struct redis_reply *r, enum redis_type wanted)
{
    struct queue *q = x->queue;
    if (r && r->type == wanted && x->epoch == q->epoch)
        return false;
    if (r && r->type != wanted)
        trouble_is(&q->trouble, TROUBLE_RECOVER, q->conf->name, r);
    recover_give_up(x);
    return true;
}

/* As redis_send with x as data; takes x where it cannot be sent. */
static void RUNS_ON(on_master)
    send(struct recovery *x, struct redis_link *link, struct redis_command *c, redis_fn fn)
{
    if (redis_send(link, c, 0, fn, x) < 0)
        recover_give_up(x);
}

struct recover_call *recover_call_new(struct recovery *x, struct batch *b)
{
    struct recover_call *call = malloc(sizeof *call), **end = &x->calls;
    if (!call)
        return NULL;
    *call = (struct recover_call){.of = x, .queue = x->queue, .batch = b, .entry = x->at};
    while (*end)
        end = &(*end)->next;
    *end = call;
    x->out++;
    return call;
}

struct recovery *recover_call_end(struct recover_call *call)
{
    struct recovery *x = call->of;
    if (x) {
        struct recover_call **at = &x->calls;
        while (*at != call)
            at = &(*at)->next;
        *at = call->next;
        x->out--;
    }
    free(call);
    return x;
}

void recover_vanished(struct batch *b)
{
    struct queue *q = b->queue;
    if (b->gone)
        return;
    log_error("batch-vanished",
              "queue='%s' batch=%s lost=%u what='its list was deleted: what runs goes on, and is "
              "not settled'",
              q->conf->label, b->field, b->unsettled);
    settle_lost(q, b->unsettled);
    q->unread -= batch_unread(b);
    q->master->unread -= batch_unread(b);
    b->gone = b->vanished = true;
    settle_dirty(b);
}

/* ---- fence what dead runs of this host left ---- */

static void RUNS_ON(on_master)
    on_fenced(struct redis_link *link, const struct redis_reply *r, void *data)
{
    (void)link;
    struct recovery *x = data;
    if (recover_unusable(x, r, REDIS_INTEGER))
        return;
    const struct entry *e = &x->entries.at[x->at++];
    if (r->integer && epochs_add(&x->open, e->epoch) < 0)
        return recover_give_up(x);
    recover_fence(x);
}

static bool of_a_dead_run(const struct recovery *x, const struct entry *e)
{
    const struct queue *q = x->queue;
    return strcmp(e->split, q->instance) == 0 && strcmp(e->epoch, x->epoch->name) != 0 &&
           !epochs_have(&x->open, e->epoch) &&
           lock_is_own_run(q->master->lock, e->epoch, strcspn(e->epoch, "."));
}

void recover_fence(struct recovery *x)
{
    struct queue *q = x->queue;
    while (x->at < x->entries.n && !of_a_dead_run(x, &x->entries.at[x->at]))
        x->at++;
    if (x->at == x->entries.n) {
        x->at = 0;
        x->took = 0;
        return adopt_strays(x);
    }
    struct redis_command *c = queue_script(q, "fence_epoch", 3);
    redis_arg_text(c, q->key.owner);
    redis_arg_text(c, q->key.owners);
    redis_arg_text(c, q->key.fenced);
    redis_arg_text(c, q->instance);
    redis_arg_text(c, x->entries.at[x->at].epoch);
    redis_arg_text(c, "1");
    send(x, q->master->control, c, on_fenced);
}

/* ---- mark ---- */

static void RUNS_ON(on_master)
    on_marked(struct redis_link *link, const struct redis_reply *r, void *data)
{
    (void)link;
    struct recovery *x = data;
    if (recover_unusable(x, r, REDIS_INTEGER))
        return;
    x->at++;
    recover_mark(x);
}

static bool has_entries(const struct recovery *x, const char *epoch)
{
    for (size_t i = 0; i < x->entries.n; i++)
        if (strcmp(x->entries.at[i].epoch, epoch) == 0)
            return true;
    return false;
}

void recover_mark(struct recovery *x)
{
    struct queue *q = x->queue;
    while (x->at < x->open.n && has_entries(x, x->open.at[x->at]))
        x->at++;
    if (x->at == x->open.n)
        return over(x);
    struct redis_command *c = queue_script(q, "mark_empty", 1);
    redis_arg_text(c, q->key.fenced);
    redis_arg_text(c, x->open.at[x->at]);
    send(x, q->master->work, c, on_marked);
}

/* ---- scan ---- */

static void RUNS_ON(on_master)
    on_scan(struct redis_link *link, const struct redis_reply *r, void *data)
{
    (void)link;
    struct recovery *x = data;
    if (recover_unusable(x, r, REDIS_ARRAY))
        return;
    if (r->n != 2 || r->item[0].type != REDIS_STRING || r->item[1].type != REDIS_ARRAY ||
        entries_add(&x->entries, &r->item[1]) < 0)
        return recover_give_up(x);
    if (strcmp(r->item[0].str, "0") != 0)
        return recover_scan(x, r->item[0].str);
    entries_sort(&x->entries);
    if (x->at != SIZE_MAX)
        return compare_next(x, x->queue->batches);
    x->at = 0; /* the second round: only what is left is taken */
    x->took = 0;
    take_next(x);
}

void recover_scan(struct recovery *x, const char *cursor)
{
    struct queue *q = x->queue;
    struct redis_command *c = q->master->command;
    redis_begin(c, "HSCAN");
    redis_arg_text(c, q->key.batches);
    redis_arg_text(c, cursor);
    redis_arg_text(c, "COUNT");
    redis_arg_text(c, "1000");
    send(x, q->master->work, c, on_scan);
}

static void RUNS_ON(on_master)
    on_open(struct redis_link *link, const struct redis_reply *r, void *data)
{
    (void)link;
    struct recovery *x = data;
    if (recover_unusable(x, r, REDIS_ARRAY))
        return;
    if (epochs_open(&x->open, r) < 0)
        return recover_give_up(x);
    recover_scan(x, "0");
}

void recover_start(struct queue *q, bool owed)
{
    q->recover.owed = q->recover.owed || owed;
    q->recover.compared = q->recover.compared && !owed;
    if (q->recover.run && !q->recover.waiting) {
        q->recover.again = true;
        return;
    }
    if (q->recover.run) /* what it knows is old */
        recovery_free(q->recover.run);
    ev_timer_stop(q->master->loop, &q->recover.retry);
    if (!owner_current(q) || q->master->life == LIFE_ENDED)
        return; /* the registration starts it again */
    if (!redis_link_up(q->master->work))
        return retry_in(q, 100);
    struct recovery *x = calloc(1, sizeof *x);
    if (!x)
        return retry_in(q, 1000);
    x->queue = q;
    x->epoch = epoch_ref(q->epoch);
    q->recover.run = x;
    struct redis_command *c = q->master->command;
    redis_begin(c, "HGETALL");
    redis_arg_text(c, q->key.fenced);
    send(x, q->master->control, c, on_open);
}

void recover_kick(struct queue *q)
{
    struct recovery *x = q->recover.run;
    if (!q->recover.waiting || !queue_room(q))
        return;
    recover_wait(q, false);
    take_next(x);
}

void recover_stop(struct queue *q)
{
    if (!q->recover.waiting)
        return;
    recovery_free(q->recover.run);
    q->recover.owed = false;
    q->recover.compared = true; /* that came first */
}
