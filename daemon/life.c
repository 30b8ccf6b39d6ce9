/* The end, in order:
 *
 *   RUNNING     TERM or INT: claim no more, blocked pops are given up, what has not begun is given
 *               back
 *   DRAINING    jobs may finish for shutdown_timeout; a second signal, or QUIT at any time, goes on
 *               at once
 *   CANCELLING  what still runs is cancelled; what does not end then is not waited for
 *   LEAVING     outcomes are settled, the rest is given back, each queue is released: within a
 *               bound, then the process ends
 *
 * What Redis did not hear until then lies in it under this instance and is taken back at the next
 * start. */
#include "daemon/life.h"

#include <signal.h>

#include "common/log.h"
#include "daemon/admin.h"
#include "daemon/dispatch.h"
#include "daemon/master.h"
#include "daemon/queue.h"
#include "daemon/supervisor.h"
#include "worker/handler/handler.h"

#define CANCEL_MS 5000 /* for handlers to clean up, beside the largest kill_grace */
#define STEP_MS 20
#define LEAVE_STEPS 250
#define AT_ONCE_STEPS 40 /* a second signal: out within a second */

static void set_timer(struct master *m, double after, double repeat)
{
    ev_timer_stop(m->loop, &m->life_timer);
    ev_timer_set(&m->life_timer, after, repeat);
    ev_timer_start(m->loop, &m->life_timer);
}

static void end(struct master *m)
{
    m->life = LIFE_ENDED;
    ev_break(m->loop, EVBREAK_ALL);
}

/* Counted in steps, not by a clock: while this process stood still, nobody could have answered it.
 */
static void bound(struct master *m, unsigned steps)
{
    if (!m->steps_left || m->steps_left > steps)
        m->steps_left = steps;
}

static void leave(struct master *m)
{
    m->life = LIFE_LEAVING;
    bound(m, LEAVE_STEPS);
    set_timer(m, 0, STEP_MS / 1000.0);
}

/* What a handler has started is killed after its grace, and must have ended before the end. */
static int64_t cancel_ms(const struct conf *conf)
{
    int64_t grace_ms = 0;
    for (size_t i = 0; i < conf->nqueues; i++) {
        const struct conf_handler *h = &conf->queues[i].handler;
        if (h->command && h->kill_grace_ms > grace_ms)
            grace_ms = h->kill_grace_ms;
    }
    return CANCEL_MS + grace_ms;
}

static void cancel_all(struct master *m, bool at_once)
{
    log_info("cancelling", "running=%u", m->running);
    m->life = LIFE_CANCELLING;
    dispatch_cancel_all(m, at_once);
    set_timer(m, (double)cancel_ms(m->conf) / 1000, 0);
}

static void RUNS_ON(on_master) drain(struct master *m)
{
    log_info("stopping", "running=%u timeout_ms=%lld", m->running,
             (long long)m->conf->shutdown_timeout_ms);
    m->life = LIFE_DRAINING;
    supervisor_stopping(m->supervisor);
    set_timer(m, (double)m->conf->shutdown_timeout_ms / 1000, 0);
    for (size_t i = 0; i < m->nqueues; i++) {
        claim_stop(m->queues[i]);
        recover_stop(m->queues[i]);
        giveback_all(m->queues[i]);
    }
}

static void RUNS_ON(on_master)
    on_release(struct redis_link *link, const struct redis_reply *r, void *data)
{
    (void)link;
    struct queue *q = data;
    q->releasing = false;
    if (!r)
        return;
    if (r->type != REDIS_INTEGER)
        trouble_is(&q->trouble, TROUBLE_OWNER, q->conf->name, r);
    else if (r->integer == -1)
        passage_clear(q);
    else
        q->released = true;
}

static void RUNS_ON(on_master) leave_queue(struct queue *q)
{
    if (!q->owner.registered) {
        q->released = !q->owner.asking && !q->owner.unsure;
        return;
    }
    if (claim_out(q) || q->clearing || q->recover.run || q->releasing || once_is_counting(q))
        return;
    if (!owner_current(q) || !q->recover.compared)
        return owner_kick(q); /* after a cut a comparison comes before the release */
    if (q->batches)
        return giveback_all(q);
    q->releasing = owner_release(q, on_release) == 0;
}

static void RUNS_ON(on_master) leave_step(struct master *m)
{
    size_t left = 0;
    for (size_t i = 0; i < m->nqueues; i++) {
        if (!m->queues[i]->released)
            leave_queue(m->queues[i]);
        left += !m->queues[i]->released;
    }
    if (!left)
        return end(m);
    if (--m->steps_left)
        return;
    log_warn("left-behind",
             "queues=%zu what='Redis did not confirm all: the next start takes it back'", left);
    end(m);
}

/* At once: half of the steps are for what is cancelled. Else its time is over. */
static void RUNS_ON(on_master) cancel_step(struct master *m)
{
    if (m->steps_left && --m->steps_left > AT_ONCE_STEPS / 2)
        return;
    dispatch_give_up(m);
    leave(m);
}

void master_step(struct master *m)
{
    if ((m->life == LIFE_DRAINING || m->life == LIFE_CANCELLING) && !m->running)
        leave(m);
}

static void on_life_timer(struct ev_loop *loop, ev_timer *w, int revents)
{
    (void)loop, (void)revents;
    thread_assert(&on_master);
    struct master *m = w->data;
    if (m->life == LIFE_DRAINING)
        cancel_all(m, false);
    else if (m->life == LIFE_CANCELLING)
        cancel_step(m);
    else if (m->life == LIFE_LEAVING)
        leave_step(m);
}

static void on_signal(struct ev_loop *loop, ev_signal *w, int revents)
{
    (void)loop, (void)revents;
    thread_assert(&on_master);
    struct master *m = w->data;
    bool first = m->life == LIFE_RUNNING;
    log_info("signal", "number=%d", w->signum);
    if (first)
        drain(m);
    if (!first || w->signum == SIGQUIT) {
        atomic_store(&handler_at_once, true);
        bound(m, AT_ONCE_STEPS); /* more signals give no more time */
        if (m->life == LIFE_DRAINING)
            cancel_all(m, true);
        else if (m->life == LIFE_CANCELLING)
            dispatch_cancel_all(m, true);
        if (m->life == LIFE_CANCELLING)
            set_timer(m, STEP_MS / 1000.0, STEP_MS / 1000.0);
    }
    master_step(m);
}

static void on_usr1(struct ev_loop *loop, ev_signal *w, int revents)
{
    (void)loop, (void)revents;
    thread_assert(&on_master);
    struct master *m = w->data;
    admin_report(m->admin);
}

void life_open(struct master *m)
{
    static const struct {
        int number;
        void (*fn)(struct ev_loop *loop, ev_signal *w, int revents);
    } signals[] = {
        {SIGTERM, on_signal}, {SIGINT, on_signal}, {SIGQUIT, on_signal}, {SIGUSR1, on_usr1}};
    (void)signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        ev_signal_init(&m->signals[i], signals[i].fn, signals[i].number);
        m->signals[i].data = m;
        ev_signal_start(m->loop, &m->signals[i]);
    }
    ev_init(&m->life_timer, on_life_timer);
    m->life_timer.data = m;
}

void life_close(struct master *m)
{
    for (size_t i = 0; i < sizeof m->signals / sizeof *m->signals; i++)
        ev_signal_stop(m->loop, &m->signals[i]);
    ev_timer_stop(m->loop, &m->life_timer);
}
