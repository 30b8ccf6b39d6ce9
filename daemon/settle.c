/* What became of jobs, told to Redis until Redis has confirmed it. Each script asks first that the
 * batch's list exists under this very name, so a repeat, and what arrives late, changes nothing.
 *   dead   one job: its record, then its bit
 *   part   jobs that are done while others of their batch run: their bits, many at a time
 *   whole  every job is settled and each dead letter confirmed: list, bitmap and entry go
 * A job keeps its slot until its settle is confirmed, so what waits here is bounded by what may be
 * in flight. */
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
    struct job *jobs; /* by job->next: of part and dead */
    enum settle_kind kind;
};

static void on_again(struct ev_loop *loop, ev_timer *w, int revents)
{
    (void)loop, (void)revents;
    thread_assert(&on_master);
    settle_flush(w->data);
}

void settle_init(struct queue *q)
{
    ev_timer_init(&q->settle.again, on_again, 0, 0);
    q->settle.again.data = q;
}

void settle_deinit(struct queue *q)
{
    ev_timer_stop(q->master->loop, &q->settle.again);
}

static void again_in(struct queue *q, int64_t ms)
{
    if (ev_is_active(&q->settle.again))
        return;
    ev_timer_set(&q->settle.again, (double)ms / 1000, 0);
    ev_timer_start(q->master->loop, &q->settle.again);
}

static void refused(struct queue *q, const struct redis_reply *r)
{
    struct settle *s = &q->settle;
    trouble_is(&q->trouble, TROUBLE_SETTLE, q->conf->name, r);
    s->pause_ms = s->pause_ms ? s->pause_ms * 2 : BACKOFF_MIN_MS;
    if (s->pause_ms > BACKOFF_MAX_MS)
        s->pause_ms = BACKOFF_MAX_MS;
    again_in(q, s->pause_ms);
}

static void accepted(struct queue *q)
{
    q->settle.pause_ms = 0;
    trouble_over(&q->trouble, TROUBLE_SETTLE);
}

void settle_dirty(struct batch *b)
{
    if (b->dirty)
        return;
    b->dirty = true;
    b->dirty_next = b->queue->settle.dirty;
    b->queue->settle.dirty = b;
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
    *(j->outcome == JOB_DONE ? &m->done : &m->dead) += 1;
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
    int r = send(call, c);
    if (r < 0)
        free(call);
    return r;
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

static void whole_settled(struct batch *b)
{
    for (uint32_t i = 0; i < b->length; i++)
        if (b->job[i])
            free_settled(b->job[i]);
    b->done = b->dead = NULL; /* they were in these lists */
    b->gone = true;
}

/* The list is gone: at a repeat it was settled already, at the first try it is lost. */
static void list_gone(struct settle_call *call)
{
    struct batch *b = call->batch;
    bool repeated = b->tried || b->gone;
    for (const struct job *j = call->jobs; j; j = j->next) {
        if (b->epoch != b->queue->epoch && !j->tried)
            settle_lost(b->queue, 1);
        repeated = repeated || j->tried;
    }
    if (!repeated)
        recover_vanished(b);
    drop_each(call->jobs);
    if (call->kind == SETTLE_WHOLE && repeated)
        whole_settled(b);
}

static void not_the_length(struct batch *b)
{
    log_error("batch-changed",
              "queue='%s' batch=%s what='its list has not the length that is known: trying again'",
              b->queue->conf->name, b->field);
}

static void confirmed(struct settle_call *call)
{
    for (struct job *j = call->jobs, *next; j; j = next) {
        next = j->next;
        free_settled(j);
    }
    if (call->kind == SETTLE_WHOLE)
        whole_settled(call->batch);
}

static void on_settled(struct redis_link *link, const struct redis_reply *r, void *data)
{
    (void)link;
    struct settle_call *call = data;
    struct batch *b = call->batch;
    struct queue *q = b->queue;
    b->out--;
    if (!r || r->type != REDIS_INTEGER || r->integer < -1) {
        unsettle(call->jobs);
        b->tried = b->tried || call->kind == SETTLE_WHOLE;
        if (r && r->type == REDIS_INTEGER)
            not_the_length(b);
        if (r)
            refused(q, r);
    } else {
        accepted(q);
        if (r->integer == -1)
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
    if (over)
        return b->special || b->out ? 0 : send_whole(b);
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
    if ((s->pause_ms && ev_is_active(&s->again)) || !redis_link_up(q->master->work))
        return;
    if (s->lost && !s->counting)
        count_lost(q);
    struct batch *list = s->dirty;
    s->dirty = NULL;
    while (list) {
        struct batch *b = list;
        list = b->dirty_next;
        b->dirty = false;
        int r = flush_batch(b);
        if (!r)
            continue;
        settle_dirty(b);
        again_in(q, r < 0 ? 1000 : LINGER_MS);
    }
}
