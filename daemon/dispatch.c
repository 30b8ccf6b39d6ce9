/* Jobs to the least loaded worker, and back: one wake-up of the master brings all that have ended.
 */
#include "daemon/queue.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "daemon/dispatch.h"
#include "daemon/master.h"

void dispatch_read(struct job *j)
{
    if (j->large)
        return outcome_condemn(j, "too large: %zu bytes, max_payload is %lld", j->len,
                               (long long)j->conf->max_payload);
    if (j->alien)
        return outcome_condemn(j, "it lay among the retries and is not a record");
    const char *why = batch_condemned(j->batch, j->index, (unsigned)j->conf->max_recoveries);
    if (why) {
        j->condemned = true;
        j->batch->queue->master->condemned++;
        return outcome_condemn(j, "%s %u times", why, j->batch->strikes);
    }
    if (!j->batch->trial)
        job_list_push(&j->batch->queue->waiting, j);
}

static unsigned least_loaded(const struct master *m)
{
    unsigned best = 0;
    for (unsigned i = 1; i < m->nworkers; i++)
        if (m->load[i] < m->load[best])
            best = i;
    return best;
}

static void count_running(struct job *j, int by)
{
    struct queue *q = j->batch->queue;
    struct master *m = q->master;
    m->load[j->worker] += (uint32_t)by;
    m->running += (uint32_t)by;
    q->running += (uint32_t)by;
    j->batch->epoch->running += (unsigned)by;
    j->running = by > 0;
}

static bool hand_over(struct master *m, struct job *j)
{
    j->worker = least_loaded(m);
    count_running(j, 1);
    if (worker_submit(m->workers[j->worker], j) == 0)
        return true;
    count_running(j, -1);
    return false;
}

void dispatch_pump(struct queue *q)
{
    struct master *m = q->master;
    if (!q->waiting.head || queue_stands_still(q) || clock_now_ms() < m->again_at_ms ||
        trial_holds(m))
        return;
    if (m->condemned) {
        m->held_back = true;
        return;
    }
    bool sure = owner_sure(q);
    for (struct job *j; (j = job_list_pop(&q->waiting));) {
        if ((sure || j->once) && hand_over(m, j))
            continue;
        job_list_unpop(&q->waiting, j);
        if (sure || j->once)
            return master_short(m);
        return master_beat_within(m, 0); /* replies may have waited for longer than the lease */
    }
}

static void cancel_running(struct job *j, enum job_cancel why)
{
    if (job_cancel(j, why))
        worker_cancel(j->batch->queue->master->workers[j->worker], j);
}

static bool waits(const struct job *j)
{
    const struct job *at = j->batch->queue->waiting.head;
    while (at && at != j)
        at = at->next;
    return at;
}

bool dispatch_cancel_job(struct job *j)
{
    if (j->running) {
        cancel_running(j, CANCEL_OPERATOR);
        return true;
    }
    bool listed = waits(j); /* one on trial is not, nor what is being pushed back */
    if (j->outcome != JOB_NONE || (j->once && !listed))
        return false;
    if (listed)
        job_list_remove(&j->batch->queue->waiting, j);
    (void)job_cancel(j, CANCEL_OPERATOR);
    outcome_condemn(j, "cancelled");
    return true;
}

bool dispatch_alone(struct job *j)
{
    struct queue *q = j->batch->queue;
    if (q->pause.on || master_is_short(q->master))
        return false;
    if (!owner_sure(q)) {
        master_beat_within(q->master, 0);
        return false;
    }
    bool there = hand_over(q->master, j);
    if (!there)
        master_short(q->master);
    return there;
}

/* What has not begun leaves memory, what runs is cancelled; how much runs. */
static uint32_t abandon_jobs(struct batch *b)
{
    uint32_t running = 0;
    for (uint32_t i = 0; i < b->read; i++) {
        struct job *j = b->job[i];
        if (j && j->running) {
            running++;
            cancel_running(j, CANCEL_LOST);
        } else if (j && j->outcome == JOB_NONE) {
            queue_free_job(j);
        }
    }
    return running;
}

static void leave_waiting(struct queue *q)
{
    struct job *j = q->waiting.head;
    job_list_init(&q->waiting);
    for (struct job *next; j; j = next) {
        next = j->next;
        if (j->once)
            job_list_push(&q->waiting, j);
    }
}

void dispatch_abandon(struct queue *q)
{
    struct master *m = q->master;
    leave_waiting(q);
    for (struct batch *b = q->batches; b; b = b->next) {
        if (b->once)
            continue;
        uint32_t running = abandon_jobs(b);
        if (!b->gone)
            settle_lost(q, running);
        q->unread -= batch_unread(b);
        m->unread -= batch_unread(b);
        b->gone = true;
        settle_dirty(b); /* forgotten once nothing of it is left */
    }
}

static void RUNS_ON(on_master) go_back(struct batch *b)
{
    if (b->once)
        once_give_back(b->queue);
    else
        giveback_batch(b);
}

/* It was not settled: it runs again, unless that is another's business now or it was cancelled. */
static void RUNS_ON(on_master) not_ended(struct job *j)
{
    struct batch *b = j->batch;
    struct queue *q = b->queue;
    enum job_outcome why = j->outcome;
    bool cancelled =
        atomic_exchange(&j->cancel, CANCEL_NONE) != CANCEL_NONE && why == JOB_CANCELLED;
    job_anew(j);
    if (b->gone && (cancelled || b->epoch != q->epoch)) {
        queue_free_job(j);
        settle_dirty(b);
        return;
    }
    if (why == JOB_AGAIN)
        master_short(q->master);
    if (cancelled && !j->once)
        return; /* stays in its batch, not begun: it is given back */
    if (!b->trial)
        job_list_unpop(&q->waiting, j);
    if (queue_stands_still(q))
        go_back(b);
    else if (why == JOB_LATE && !b->trial)
        dispatch_pump(q); /* late: asks for a beat */
}

static void RUNS_ON(on_master) came_back(struct job *j)
{
    assert(j->magic == JOB_MAGIC);
    if (!j->running)
        return batch_late(j);
    count_running(j, -1);
    if (outcome_decide(j))
        settle_ended(j);
    else
        not_ended(j);
}

void dispatch_take(struct master *m)
{
    struct mail *next, *mail = mailbox_take(&m->results);
    if (!mail)
        return;
    for (; mail; mail = next) {
        next = mail->next;
        came_back((struct job *)mail); /* the link is a job's first member */
    }
    master_step(m);
}

static void on_results(struct ev_loop *loop, ev_async *w, int revents)
{
    (void)loop, (void)revents;
    thread_assert(&on_master);
    dispatch_take(w->data);
}

static void wake_master(void *arg)
{
    struct master *m = arg;
    ev_async_send(m->loop, &m->results_wake);
}

void dispatch_open(struct master *m)
{
    ev_async_init(&m->results_wake, on_results);
    m->results_wake.data = m;
    ev_async_start(m->loop, &m->results_wake);
    mailbox_init(&m->results, wake_master, m);
}

void dispatch_close(struct master *m)
{
    ev_async_stop(m->loop, &m->results_wake);
    struct mail *next;
    for (struct mail *mail = mailbox_take(&m->results); mail; mail = next) {
        struct job *j = (struct job *)mail;
        next = mail->next;
        if (j->running)
            count_running(j, -1);
        else
            batch_late(j);
    }
}

static void cancel_at_end(struct job *j, bool at_once)
{
    bool hurry = at_once && !atomic_exchange(&j->at_once, true);
    if (job_cancel(j, CANCEL_SHUTDOWN) || hurry)
        worker_cancel(j->batch->queue->master->workers[j->worker], j);
}

static void each_running(struct master *m, void (*fn)(struct job *j, bool at_once), bool at_once)
{
    for (size_t i = 0; i < m->nqueues; i++)
        for (struct batch *b = m->queues[i]->batches, *next; b; b = next) {
            next = b->next;
            for (uint32_t n = 0; n < b->read; n++)
                if (b->job[n] && b->job[n]->running)
                    fn(b->job[n], at_once);
        }
}

void dispatch_cancel_all(struct master *m, bool at_once)
{
    each_running(m, cancel_at_end, at_once);
}

/* What stands in its place: what the worker may write to is its own until it comes back. NULL: no
 * memory. */
static struct job *stand_in(const struct job *j)
{
    struct job *s = job_new(j->conf, j->once ? j->payload : "", j->once ? j->len : 0);
    if (!s)
        return NULL;
    s->index = j->index;
    s->batch = j->batch;
    s->birth = j->birth;
    s->start_until = j->start_until;
    s->once = j->once;
    s->attempt = j->attempt;
    s->strikes = j->strikes;
    s->first_ms = j->first_ms;
    s->head = j->head;
    s->outcome = JOB_CANCELLED;
    atomic_init(&s->cancel, atomic_load(&j->cancel));
    atomic_init(&s->begun, atomic_load(&j->begun));
    if ((j->id && !(s->id = strdup(j->id))) || (j->record && !(s->record = strdup(j->record))))
        return job_free(s);
    return s;
}

static void RUNS_ON(on_master) give_up(struct job *j, bool at_once)
{
    struct batch *b = j->batch;
    struct job *s = stand_in(j);
    (void)at_once;
    if (!s)
        return; /* it lies in Redis, under this instance */
    count_running(j, -1);
    b->job[j->index] = s;
    b->late++;
    if (outcome_decide(s))
        settle_ended(s);
    else
        not_ended(s);
}

void dispatch_give_up(struct master *m)
{
    m->gave_up = m->running > 0;
    if (m->gave_up)
        log_warn("given-up", "running=%u what='they do not end when they are cancelled'",
                 m->running);
    each_running(m, give_up, false);
}
