/* delivery = "at-most-once": a job is popped before it runs, and is in memory alone from then on.
 * It is claimed under the fences of every claim: what a cut link had sent moves nothing later. Its
 * batch has no list and no entry, so nothing is settled, recovered or adopted:
 *
 *   done            counted, by the turn, or with what is delivered of it: sent once, and again
 *                   only where Redis has refused it
 *   a failed try    a dead letter, repeated until Redis has confirmed it; so is what still ran when
 *                   the daemon ended: it had begun, and is not begun again
 *   not begun       pushed back, at the end or by a pause: once, and again only where Redis has
 *                   refused all of it
 *   epoch lost      nobody else has these jobs: they go on
 *
 * An answer that is lost with its link, and memory that dies with the process, are lost jobs. The
 * scripts count what they popped, so the counters tell how many. */
#include "daemon/queue.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "daemon/master.h"
#include "daemon/settle.h"
#include "daemon/timer.h"

#define PUSH_JOBS 500
#define PUSH_BYTES (1 << 20)
#define REFUSED_MS 100

static _Atomic int64_t for_ever =
    INT64_MAX; /* start_until: no lease ends for what is nowhere else */

bool once_is(const struct queue *q)
{
    return q->conf->delivery == CONF_AT_MOST_ONCE;
}

static void on_again(struct ev_loop *loop, ev_timer *w, int revents)
{
    (void)loop, (void)revents;
    thread_assert(&on_master);
    struct queue *q = w->data;
    if (queue_stands_still(q))
        once_give_back(q);
    else
        dispatch_pump(q);
}

void once_init(struct queue *q)
{
    ev_timer_init(&q->once.again, on_again, 0, 0);
    q->once.again.data = q;
}

static void say_lost(const struct queue *q, uint64_t jobs, const char *what)
{
    log_error("jobs-lost", "queue='%s' jobs=%" PRIu64 " what='%s'", q->conf->label, jobs, what);
}

static uint32_t not_done(const struct batch *b)
{
    uint32_t n = 0;
    for (uint32_t i = 0; b->once && i < b->read; i++)
        n += b->job[i] && settle_is_special(b->job[i]);
    return n;
}

/* What Redis would not take back until the end ends with the memory. */
void once_deinit(struct queue *q)
{
    uint64_t left = 0;
    ev_timer_stop(q->master->loop, &q->once.again);
    for (const struct batch *b = q->batches; b; b = b->next)
        left += not_done(b);
    if (left)
        say_lost(q, left, "delivered at most once, and Redis took no answer until the end");
}

/* ---- claim ---- */

struct redis_command *once_claim(struct batch *b, const char *from, uint32_t n, int64_t bytes)
{
    struct queue *q = b->queue;
    struct redis_command *c = queue_script(q, "claim_once", 7);
    redis_arg_text(c, q->key.owner);
    redis_arg_text(c, q->key.paused);
    redis_arg_text(c, q->key.queue);
    redis_arg_text(c, from);
    redis_arg_text(c, q->key.dead);
    redis_arg_text(c, q->key.stats);
    redis_arg_text(c, queue_target(q, q->conf->on_failure));
    redis_arg_text(c, b->epoch->name);
    redis_arg_int(c, (int64_t)q->owner.number);
    redis_arg_text(c, b->records ? "retry" : "list");
    redis_arg_int(c, n);
    redis_arg_int(c, bytes);
    redis_arg_text(c, b->birth);
    redis_arg_text(c, q->instance);
    redis_arg_int(c, q->conf->max_payload);
    redis_arg_int(c, q->conf->dead_max);
    redis_arg_int(c, q->conf->dead_age_ms);
    return c;
}

void once_unanswered(const struct batch *b, const struct redis_reply *r, uint32_t n)
{
    if (r && r->type == REDIS_ERROR)
        return; /* it has popped nothing */
    log_warn(
        "claim-unanswered",
        "queue='%s' jobs_at_most=%u what='delivered at most once: what was popped is lost with "
        "the answer'",
        b->queue->conf->label, n);
}

/* It was too large: the script has made it a dead letter. */
static void buried(struct batch *b, uint32_t index, int64_t bytes)
{
    b->unsettled--;
    b->queue->master->dead++;
    log_warn("job-dead",
             "queue='%s' id=%s-%u attempt=1 reason='too large: %" PRId64
             " bytes, max_payload is %" PRId64 "'",
             b->queue->conf->label, b->birth, index, bytes, b->queue->conf->max_payload);
}

/* A record's head is kept as it is: it goes back so where the job does not begin. */
static bool keep(struct batch *b, uint32_t index, const struct redis_reply *element)
{
    struct job *j = queue_new_job(b, index, element);
    if (j && j->id && !(j->record = strndup(element->str, (size_t)j->head))) {
        queue_free_job(j);
        j = NULL;
    }
    if (!j) {
        b->unsettled--;
        return false;
    }
    j->start_until = &for_ever;
    j->once = true;
    dispatch_read(j);
    return true;
}

static void no_memory(struct queue *q, uint32_t jobs)
{
    say_lost(q, jobs, "delivered at most once, and there was no memory for them");
    settle_lost(q, jobs);
    master_short(q->master);
}

void once_begin(struct batch *b, const struct redis_reply *element, uint32_t n, bool wanted)
{
    struct queue *q = b->queue;
    uint32_t lost = 0;
    if (batch_fill(b, n, NULL, 0) < 0) {
        (void)batch_free(b);
        return no_memory(q, n);
    }
    queue_add(q, b);
    b->read = n;
    for (uint32_t i = 0; i < n; i++)
        if (element[i].type == REDIS_INTEGER)
            buried(b, i, element[i].integer);
        else
            lost += !keep(b, i, &element[i]);
    if (lost)
        no_memory(q, lost);
    if (!wanted)
        once_give_back(q);
    settle_dirty(b); /* it may have no job at all */
    dispatch_pump(q);
}

/* ---- outcomes ---- */

struct redis_command *once_dead(struct job *j, const char *head, const char *counter)
{
    struct queue *q = j->batch->queue;
    assert(!j->large); /* claim_once answers nothing that is too large to be read */
    struct redis_command *c = queue_script(q, "dead_once", 3);
    redis_arg_text(c, q->key.dead);
    redis_arg_text(c, q->key.stats);
    redis_arg_text(c, queue_target(q, q->conf->on_failure));
    redis_arg_text(c, head);
    redis_arg(c, j->payload, j->len);
    redis_arg_int(c, q->conf->dead_max);
    redis_arg_int(c, q->conf->dead_age_ms);
    redis_arg_text(c, counter);
    return c;
}

void once_undelivered(const struct queue *q, unsigned n)
{
    log_warn("delivery-unanswered",
             "queue='%s' jobs=%u what='delivered at most once: their results may be lost with the "
             "answer'",
             q->conf->label, n);
}

int once_flush(struct batch *b)
{
    struct queue *q = b->queue;
    for (struct job *j = b->done, *next; j; j = next) {
        next = j->next;
        q->once.done++;
        q->master->done++;
        settle_drop(j);
    }
    b->done = NULL;
    while (b->failed)
        if (settle_send_record(b) < 0)
            return -1;
    if (settle_send_deliveries(b) < 0)
        return -1;
    if (!b->out && !b->unsettled)
        queue_forget(q, b);
    return 0;
}

static void on_counted(struct redis_link *link, const struct redis_reply *r, void *data)
{
    (void)link;
    struct queue *q = data;
    q->once.counting = false;
    if (r && r->type != REDIS_INTEGER)
        trouble_is(&q->trouble, TROUBLE_SETTLE, q->conf->name, r);
}

void once_count(struct queue *q)
{
    if (!q->once.done || q->once.counting)
        return;
    struct redis_command *c = queue_script(q, "count", 1);
    redis_arg_text(c, q->key.stats);
    redis_arg_text(c, "done");
    redis_arg_int(c, (int64_t)q->once.done);
    if (redis_send(q->master->work, c, 0, on_counted, q) < 0)
        return;
    q->once.counting = true;
    q->once.done = 0;
}

bool once_is_counting(const struct queue *q)
{
    return q->once.counting || q->once.done;
}

/* ---- back ---- */

struct push {
    struct queue *queue;
    struct job *jobs; /* the newest first, by job->next */
    uint32_t n;
    size_t bytes;
    bool records;
};

static void leave(struct job *j)
{
    struct batch *b = j->batch;
    b->out--;
    b->unsettled--;
    queue_free_job(j);
    settle_dirty(b);
}

static void wait_again(struct job *j)
{
    j->batch->out--;
    job_list_unpop(&j->batch->queue->waiting, j);
}

static void each_job(struct push *p, void (*fn)(struct job *j))
{
    for (struct job *j = p->jobs, *next; j; j = next) {
        next = j->next;
        fn(j);
    }
}

static void RUNS_ON(on_master) look_again(struct queue *q)
{
    if (!ev_is_active(&q->once.again))
        timer_in(q->master->loop, &q->once.again, REFUSED_MS);
}

/* Refused, nothing of it has gone back: it waits as before. */
static void RUNS_ON(on_master) not_taken_back(struct push *p)
{
    each_job(p, wait_again);
    look_again(p->queue);
}

static void RUNS_ON(on_master)
    on_pushed(struct redis_link *link, const struct redis_reply *r, void *data)
{
    (void)link;
    struct push *p = data;
    struct queue *q = p->queue;
    if (r && r->type != REDIS_INTEGER)
        trouble_is(&q->trouble, TROUBLE_SETTLE, q->conf->name, r);
    if (r && r->type == REDIS_ERROR) {
        not_taken_back(p);
    } else {
        if (!r || r->type != REDIS_INTEGER) {
            say_lost(q, p->n, "delivered at most once, and the answer to their return is missing");
            settle_lost(q, p->n);
        }
        each_job(p, leave);
    }
    free(p);
    master_step(q->master);
}

/* The newest that wait, as many of one kind as one script takes. They leave the list. */
static void fill(struct push *p)
{
    struct job *before, **end = &p->jobs;
    for (struct job *j = p->queue->waiting.last; j; j = before) {
        before = j->prev;
        if (!j->once)
            continue;
        if (p->n && (j->batch->records != p->records || p->bytes >= PUSH_BYTES))
            return;
        p->records = j->batch->records;
        p->bytes += j->len;
        job_list_remove(&p->queue->waiting, j);
        j->batch->out++;
        *end = j;
        end = &j->next;
        if (++p->n == PUSH_JOBS)
            return;
    }
}

static int RUNS_ON(on_master) send_push(struct push *p)
{
    struct queue *q = p->queue;
    struct redis_command *c = queue_script(q, "push_back", 2);
    redis_arg_text(c, p->records ? q->key.retry : q->key.queue);
    redis_arg_text(c, q->key.stats);
    redis_arg_text(c, p->records ? "retry" : "list");
    for (struct job *j = p->jobs; j; j = j->next) {
        if (p->records)
            redis_arg_text(c, j->record);
        redis_arg(c, j->payload, j->len);
    }
    return redis_send(q->master->work, c, 0, on_pushed, p);
}

void once_give_back(struct queue *q)
{
    while (q->waiting.head && !ev_is_active(&q->once.again)) {
        struct push *p = calloc(1, sizeof *p);
        if (!p) {
            master_short(q->master);
            return look_again(q);
        }
        p->queue = q;
        fill(p);
        if (p->n && send_push(p) == 0)
            continue;
        if (p->n)
            not_taken_back(p);
        return free(p);
    }
}
