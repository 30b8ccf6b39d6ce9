/* What became of jobs, told to Redis until Redis has confirmed it. Each script asks first that the
 * batch's list exists under this very name, so a repeat, and what arrives late, changes nothing.
 *   retry  one job: its record among the retries, then its bit
 *   dead   one job: its record among the dead letters, then its bit
 *   deliver  jobs that are done, and what they returned is somebody's: that, then their bits
 *   part   jobs that are done while others of their batch run: their bits, many at a time
 *   whole  every job is settled and each record confirmed: list, bitmap and entry go
 * A job keeps its slot until its settle is confirmed, so what waits here is bounded by what may be
 * in flight. Only a claim that goes over the same link behind the settle, and is answered behind
 * it, counts with the slot. A batch whose settle was refused waits for the backoff; the others do
 * not. */
#include "daemon/queue.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "daemon/master.h"
#include "daemon/settle.h"
#include "daemon/timer.h"

#define LINGER_MS 2 /* so long the first that end of a large batch wait for others ... */
#define FEW 8       /* ... which make an eighth of it */
#define BACKOFF_MIN_MS 20
#define BACKOFF_MAX_MS 1000

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

void settle_refused(struct batch *b, const struct redis_reply *r)
{
    struct queue *q = b->queue;
    struct settle *s = &q->settle;
    trouble_is(&q->trouble, TROUBLE_SETTLE, q->conf->name, r);
    b->refused = b->was_refused = true;
    if (ev_is_active(&s->retry))
        return;
    s->pause_ms = timer_backoff(s->pause_ms, BACKOFF_MIN_MS, BACKOFF_MAX_MS);
    timer_in(q->master->loop, &s->retry, s->pause_ms);
}

void settle_accepted(struct batch *b)
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

static void join(struct queue *q)
{
    struct master *m = q->master;
    if (q->settle.listed)
        return;
    q->settle.listed = true;
    m->telling[m->ntelling++] = q;
}

void settle_dirty(struct batch *b)
{
    join(b->queue);
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

bool settle_is_special(const struct job *j)
{
    return j->outcome != JOB_DONE || deliver_owed(j);
}

void settle_to_list(struct job *j)
{
    struct batch *b = j->batch;
    struct job **list = j->outcome == JOB_DONE ? &b->done : &b->failed;
    settle_dirty(b);
    if (deliver_owed(j))
        return job_list_push(&b->owing, j);
    if (j->outcome == JOB_DONE && !b->done)
        b->done_since_ms = clock_now_ms();
    j->next = *list;
    *list = j;
}

static void log_failure(const struct job *j)
{
    char id[JOB_ID_MAX], quoted[LOG_QUOTE_MAX];
    const char *why = j->reason ? j->reason : "";
    (void)log_quote(why, strlen(why), quoted);
    if (j->outcome == JOB_DEAD)
        log_warn("job-dead", "queue='%s' id=%s attempt=%u run_ms=%" PRId64 " reason=%s",
                 j->conf->label, job_id(j, id), j->attempt, j->run_ms, quoted);
    else
        log_info("job-retry",
                 "queue='%s' id=%s attempt=%u of=%d delay_ms=%" PRId64 " run_ms=%" PRId64
                 " reason=%s",
                 j->conf->label, job_id(j, id), j->attempt, j->conf->attempts, j->delay_ms,
                 j->run_ms, quoted);
}

void settle_ended(struct job *j)
{
    struct batch *b = j->batch;
    b->ended++;
    free(j->record); /* the one that it came with */
    j->record = NULL;
    b->special += settle_is_special(j);
    if (j->outcome != JOB_DONE)
        log_failure(j);
    settle_to_list(j);
}

void settle_changed(struct job *j)
{
    log_failure(j);
    settle_to_list(j);
}

void settle_drop(struct job *j)
{
    struct batch *b = j->batch;
    b->special -= settle_is_special(j);
    b->ended--;
    b->unsettled--;
    queue_free_job(j);
}

static void drop_each(struct job *list)
{
    for (struct job *next; list; list = next) {
        next = list->next;
        settle_drop(list);
    }
}

static bool has_jobs(const struct batch *b)
{
    for (uint32_t i = 0; i < b->read; i++)
        if (b->job[i])
            return true;
    return false;
}

/* ---- one turn ---- */

static void drop_ended(struct batch *b)
{
    drop_each(b->done);
    drop_each(b->failed);
    drop_each(b->owing.head);
    b->done = b->failed = NULL;
    job_list_init(&b->owing);
}

/* What of it is settled is known to Redis alone from here; a comparison finds the rest, and what is
 * left of one that vanished. */
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
    if (b->once)
        return once_flush(b);
    if (b->gone && mine)
        drop_ended(b);
    if (b->gone && !b->out && !has_jobs(b)) {
        if (b->vanished && mine)
            read_again(b);
        else
            queue_forget(b->queue, b);
        return 0;
    }
    if (b->giving || (b->gone && mine))
        return 0;
    while (b->failed)
        if (settle_send_record(b) < 0)
            return -1;
    if (settle_send_deliveries(b) < 0)
        return -1;
    bool over = b->ended == b->unsettled && b->read == b->length && !b->gone;
    bool recorded = !b->special && !b->out;
    bool waits = b->refused || b->owing.n;
    if (over && !recorded && !(waits && b->done)) /* no slot waits for what was refused */
        return 0;
    if (over && recorded && !b->changed)
        return settle_send_whole(b);
    if (over && recorded && !b->done) {
        read_again(b);
        return 0;
    }
    if (!b->done || b->parting)
        return 0; /* the answer comes first: meanwhile more of it may end */
    if (b->ended < b->unsettled / FEW && clock_now_ms() - b->done_since_ms < LINGER_MS)
        return 1;
    return settle_send_part(b);
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
    join(q);
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
        if (!ev_is_active(&s->again))
            timer_in(q->master->loop, &s->again, r < 0 ? 1000 : LINGER_MS);
    }
    once_count(q);
}

static bool has_something(const struct queue *q)
{
    return q->settle.dirty || q->settle.lost || q->once.done;
}

/* Of ten thousand queues few have anything: to look at each costs more than all the rest. */
void settle_turn(struct master *m)
{
    for (size_t i = 0; i < m->ntelling;) { /* who joins meanwhile is looked at, too */
        struct queue *q = m->telling[i];
        settle_flush(q);
        q->settle.listed = has_something(q);
        if (q->settle.listed)
            i++;
        else
            m->telling[i] = m->telling[--m->ntelling];
    }
}
