/* What became of jobs, told to Redis until Redis has confirmed it. Each script asks first that the
 * batch's list exists under this very name, so a repeat, and what arrives late, changes nothing.
 *   dead   one job: its record, then its bit
 *   part   jobs that are done while others of their batch run: their bits, many at a time
 *   whole  every job is settled and each dead letter confirmed: list, bitmap and entry go
 * A job keeps its slot until its settle is confirmed, so what waits here is bounded by what may be
 * in flight. A batch whose settle was refused waits for the backoff; the others do not. */
#include "daemon/queue.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "daemon/master.h"
#include "daemon/record.h"

#define LINGER_MS 2 /* parts of one batch that end close together share a script */
#define PART_JOBS 1000
#define BACKOFF_MIN_MS 20
#define BACKOFF_MAX_MS 1000

enum settle_kind { SETTLE_PART, SETTLE_DEAD, SETTLE_WHOLE };

struct settle_call {
    struct batch *batch;
    struct job *jobs; /* by job->next; of whole: those whose bits are not set yet */
    enum settle_kind kind;
};

static void on_again(struct ev_loop *loop, ev_timer *w, int revents)
{
    (void)loop, (void)revents;
    thread_assert(&on_master);
    settle_flush(w->data);
}

static void on_retry(struct ev_loop *loop, ev_timer *w, int revents)
{
    (void)loop, (void)revents;
    thread_assert(&on_master);
    struct queue *q = w->data;
    struct batch *list = q->settle.refused;
    q->settle.refused = NULL;
    while (list) {
        struct batch *b = list;
        list = b->dirty_next;
        b->dirty = false;
        settle_dirty(b);
    }
    settle_flush(q);
}

void settle_init(struct queue *q)
{
    ev_timer_init(&q->settle.again, on_again, 0, 0);
    ev_timer_init(&q->settle.retry, on_retry, 0, 0);
    q->settle.again.data = q->settle.retry.data = q;
}

void settle_deinit(struct queue *q)
{
    ev_timer_stop(q->master->loop, &q->settle.again);
    ev_timer_stop(q->master->loop, &q->settle.retry);
}

static void wake_in(struct queue *q, ev_timer *w, int64_t ms)
{
    if (ev_is_active(w))
        return;
    ev_timer_set(w, (double)ms / 1000, 0);
    ev_timer_start(q->master->loop, w);
}

static void refused(struct batch *b, const struct redis_reply *r)
{
    struct queue *q = b->queue;
    struct settle *s = &q->settle;
    trouble_is(&q->trouble, TROUBLE_SETTLE, q->conf->name, r);
    b->refused = true;
    if (ev_is_active(&s->retry))
        return;
    s->pause_ms = s->pause_ms ? s->pause_ms * 2 : BACKOFF_MIN_MS;
    if (s->pause_ms > BACKOFF_MAX_MS)
        s->pause_ms = BACKOFF_MAX_MS;
    wake_in(q, &s->retry, s->pause_ms);
}

static void accepted(struct batch *b)
{
    struct queue *q = b->queue;
    trouble_over(&q->trouble, TROUBLE_SETTLE);
    if (b->refused)
        q->settle.pause_ms = 0;
    b->refused = false;
}

static void to_front(struct batch **list, struct batch *b)
{
    b->dirty = true;
    b->dirty_next = *list;
    *list = b;
}

void settle_dirty(struct batch *b)
{
    if (!b->dirty)
        to_front(&b->queue->settle.dirty, b);
}

static bool leave_list(struct batch **at, struct batch *b)
{
    while (*at && *at != b)
        at = &(*at)->dirty_next;
    if (!*at)
        return false;
    *at = b->dirty_next;
    return true;
}

void settle_forget(struct batch *b)
{
    struct settle *s = &b->queue->settle;
    if (b->dirty && !leave_list(&s->dirty, b))
        (void)leave_list(&s->refused, b);
    b->dirty = false;
}

static void to_list(struct job *j)
{
    struct batch *b = j->batch;
    struct job **list = j->outcome == JOB_DONE ? &b->done : &b->dead;
    if (j->outcome == JOB_DONE && !b->done)
        b->done_since_ms = clock_now_ms();
    j->next = *list;
    *list = j;
    settle_dirty(b);
}

void settle_ended(struct job *j)
{
    struct batch *b = j->batch;
    b->ended++;
    if (j->outcome == JOB_DEAD) {
        char id[JOB_ID_MAX], quoted[LOG_QUOTE_MAX];
        const char *why = j->reason ? j->reason : "";
        b->special++;
        log_warn("job-dead", "queue='%s' id=%s reason=%s", b->queue->conf->name, job_id(j, id),
                 log_quote(why, strlen(why), quoted));
    }
    to_list(j);
}

/* Dead by an operator's will: counted apart. */
static bool is_cancelled(const struct job *j)
{
    return atomic_load(&j->cancel) == CANCEL_OPERATOR;
}

static void drop(struct job *j)
{
    struct batch *b = j->batch;
    b->special -= j->outcome == JOB_DEAD;
    b->ended--;
    b->unsettled--;
    queue_free_job(j);
}

static void free_settled(struct job *j)
{
    struct master *m = j->batch->queue->master;
    uint64_t *count = j->outcome == JOB_DONE ? &m->done
                      : is_cancelled(j)      ? &m->cancelled
                                             : &m->dead;
    *count += 1;
    drop(j);
}

static void drop_each(struct job *list)
{
    for (struct job *next; list; list = next) {
        next = list->next;
        drop(list);
    }
}

static bool has_jobs(const struct batch *b)
{
    for (uint32_t i = 0; i < b->read; i++)
        if (b->job[i])
            return true;
    return false;
}

/* ---- sending ---- */

static struct settle_call *call_new(struct batch *b, enum settle_kind kind)
{
    struct settle_call *call = malloc(sizeof *call);
    if (call)
        *call = (struct settle_call){.batch = b, .kind = kind};
    return call;
}

static RUNS_ON(on_master) struct redis_command *begin(struct batch *b, const char *script,
                                                      unsigned nkeys)
{
    struct queue *q = b->queue;
    struct redis_command *c = queue_script(q, script, nkeys);
    redis_arg_text(c, b->list);
    redis_arg_text(c, b->acked);
    redis_arg_text(c, q->key.batches);
    redis_arg_text(c, q->key.stats);
    return c;
}

static void on_settled(struct redis_link *link, const struct redis_reply *r, void *data);

static int RUNS_ON(on_master) send(struct settle_call *call, struct redis_command *c)
{
    struct batch *b = call->batch;
    int r = redis_send(b->queue->master->work, c, 0, on_settled, call);
    if (r == 0)
        b->out++;
    return r;
}

static int RUNS_ON(on_master) send_part(struct batch *b)
{
    struct settle_call *call = call_new(b, SETTLE_PART);
    if (!call)
        return -1;
    struct redis_command *c = begin(b, "part", 4);
    redis_arg_text(c, b->field);
    struct job **end = &b->done;
    for (unsigned n = 0; *end && n < PART_JOBS; n++, end = &(*end)->next)
        redis_arg_int(c, (*end)->index);
    if (send(call, c) < 0) {
        free(call);
        return -1;
    }
    call->jobs = b->done;
    b->done = *end;
    *end = NULL;
    return 0;
}

static int RUNS_ON(on_master) send_dead(struct batch *b)
{
    struct queue *q = b->queue;
    struct job *j = b->dead;
    size_t len;
    char *record = record_of(j, q->instance, &len);
    struct settle_call *call = record ? call_new(b, SETTLE_DEAD) : NULL;
    if (!call) {
        free(record);
        return -1;
    }
    struct redis_command *c = begin(b, "dead", 5);
    redis_arg_text(c, q->key.dead);
    redis_arg_text(c, b->field);
    redis_arg_int(c, j->index);
    redis_arg(c, record, len);
    redis_arg_int(c, q->conf->dead_max);
    redis_arg_int(c, q->conf->dead_age_ms);
    redis_arg_text(c, j->large ? "1" : "0");
    redis_arg_text(c, is_cancelled(j) ? "cancelled" : "dead");
    int r = send(call, c);
    free(record);
    if (r < 0) {
        free(call);
        return -1;
    }
    call->jobs = j;
    b->dead = j->next;
    j->next = NULL;
    return 0;
}

static int RUNS_ON(on_master) send_whole(struct batch *b)
{
    struct settle_call *call = call_new(b, SETTLE_WHOLE);
    if (!call)
        return -1;
    struct redis_command *c = begin(b, "whole", 4);
    redis_arg_text(c, b->field);
    redis_arg_int(c, b->length);
    if (send(call, c) < 0) {
        free(call);
        return -1;
    }
    call->jobs = b->done;
    b->done = NULL;
    return 0;
}

/* ---- answers ---- */

static void unsettle(struct job *list)
{
    for (struct job *j = list, *next; j; j = next) {
        next = j->next;
        j->tried = true;
        to_list(j);
    }
}

/* The list is gone: at a repeat it was settled already, at the first try it is lost. */
static void list_gone(struct settle_call *call)
{
    struct batch *b = call->batch;
    bool former = b->epoch != b->queue->epoch, repeated = b->tried || b->gone;
    for (const struct job *j = call->jobs; j; j = j->next)
        repeated = repeated || j->tried;
    if (!repeated)
        recover_vanished(b);
    for (struct job *j = call->jobs, *next; j; j = next) {
        next = j->next;
        if (j->tried) {
            free_settled(j);
            continue;
        }
        if (former && atomic_load(&j->cancel) != CANCEL_LOST) /* else it was counted then */
            settle_lost(b->queue, 1);
        drop(j);
    }
    b->gone = b->gone || call->kind == SETTLE_WHOLE;
}

/* Its bits are set one by one, then it is read again. */
static void not_the_length(struct settle_call *call)
{
    struct batch *b = call->batch;
    b->changed = true;
    log_error("batch-changed",
              "queue='%s' batch=%s what='its list has not the length that is known: somebody else "
              "wrote to it; it is read again'",
              b->queue->conf->name, b->field);
    unsettle(call->jobs);
}

static void confirmed(struct settle_call *call)
{
    for (struct job *j = call->jobs, *next; j; j = next) {
        next = j->next;
        free_settled(j);
    }
    if (call->kind == SETTLE_WHOLE)
        call->batch->gone = true;
}

static void unconfirmed(struct settle_call *call, const struct redis_reply *r)
{
    struct batch *b = call->batch;
    b->tried = b->tried || call->kind == SETTLE_WHOLE;
    unsettle(call->jobs);
    if (r)
        refused(b, r);
}

static void on_settled(struct redis_link *link, const struct redis_reply *r, void *data)
{
    (void)link;
    struct settle_call *call = data;
    struct batch *b = call->batch;
    b->out--;
    if (!r || r->type != REDIS_INTEGER) {
        unconfirmed(call, r);
    } else {
        accepted(b);
        if (r->integer < -1)
            not_the_length(call);
        else if (r->integer == -1)
            list_gone(call);
        else
            confirmed(call);
    }
    settle_dirty(b);
    free(call);
}

/* ---- one turn ---- */

static void drop_ended(struct batch *b)
{
    drop_each(b->done);
    drop_each(b->dead);
    b->done = b->dead = NULL;
}

/* What of it is settled is known to Redis alone from here; a comparison finds the rest. */
static void RUNS_ON(on_master) read_again(struct batch *b)
{
    struct queue *q = b->queue;
    queue_forget(q, b);
    recover_start(q, false);
}

/* 1: look again in a moment, 0: nothing to do until something ends, -1: could not be sent. */
static int RUNS_ON(on_master) flush_batch(struct batch *b)
{
    bool mine = b->epoch == b->queue->epoch;
    if (b->gone && mine)
        drop_ended(b);
    if (b->gone && !b->out && !has_jobs(b)) {
        queue_forget(b->queue, b);
        return 0;
    }
    if (b->giving || (b->gone && mine))
        return 0;
    while (b->dead)
        if (send_dead(b) < 0)
            return -1;
    bool over = b->ended == b->unsettled && b->read == b->length && !b->gone;
    if (over && (b->special || b->out))
        return 0;
    if (over && !b->changed)
        return send_whole(b);
    if (over && !b->done) {
        read_again(b);
        return 0;
    }
    if (!b->done)
        return 0;
    if (clock_now_ms() - b->done_since_ms < LINGER_MS)
        return 1;
    if (send_part(b) < 0)
        return -1;
    b->done_since_ms = 0;
    return b->done ? 1 : 0;
}

static void on_counted(struct redis_link *link, const struct redis_reply *r, void *data)
{
    (void)link;
    struct queue *q = data;
    q->settle.counting = false;
    if (!r)
        return; /* it may have been counted: a count is worth less than a wrong one */
    if (r->type != REDIS_INTEGER)
        trouble_is(&q->trouble, TROUBLE_SETTLE, q->conf->name, r);
}

static void RUNS_ON(on_master) count_lost(struct queue *q)
{
    struct redis_command *c = queue_script(q, "count", 1);
    redis_arg_text(c, q->key.stats);
    redis_arg_text(c, "lost");
    redis_arg_int(c, (int64_t)q->settle.lost);
    if (redis_send(q->master->work, c, 0, on_counted, q) < 0)
        return;
    q->settle.counting = true;
    q->settle.lost = 0;
}

void settle_lost(struct queue *q, uint64_t jobs)
{
    q->settle.lost += jobs;
    q->master->lost += jobs;
}

void settle_flush(struct queue *q)
{
    struct settle *s = &q->settle;
    if (!redis_link_up(q->master->work))
        return;
    if (s->lost && !s->counting)
        count_lost(q);
    struct batch *list = s->dirty;
    s->dirty = NULL;
    while (list) {
        struct batch *b = list;
        list = b->dirty_next;
        b->dirty = false;
        if (b->refused && ev_is_active(&s->retry)) {
            to_front(&s->refused, b);
            continue;
        }
        int r = flush_batch(b);
        if (!r)
            continue;
        settle_dirty(b);
        wake_in(q, &s->again, r < 0 ? 1000 : LINGER_MS);
    }
}
