#include "daemon/trial.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "daemon/master.h"
#include "daemon/queue.h"
#include "daemon/timer.h"

#define REFUSED_MS 200

static void on_again(struct ev_loop *loop, ev_timer *w, int revents)
{
    (void)loop, (void)revents;
    thread_assert(&on_master);
    trial_step(w->data);
}

void trial_init(struct master *m)
{
    ev_timer_init(&m->trial.again, on_again, 0, 0);
    m->trial.again.data = m;
}

void trial_deinit(struct master *m)
{
    ev_timer_stop(m->loop, &m->trial.again);
}

static void again_in(struct master *m, int64_t ms)
{
    timer_in(m->loop, &m->trial.again, ms);
}

void trial_add(struct batch *b)
{
    b->trial = true;
    b->queue->master->trial.batches++;
    log_warn("trial",
             "queue='%s' batch=%s jobs=%u recoveries=%u what='its jobs run one at a time: one of "
             "them may bring the daemon down'",
             b->queue->conf->label, b->field, b->unsettled, b->recoveries);
}

void trial_end(struct batch *b)
{
    b->queue->master->trial.batches -= b->trial;
    b->trial = false;
}

bool trial_holds(const struct master *m)
{
    return m->trial.state == TRIAL_DRAINS || m->trial.state == TRIAL_RUNS;
}

static struct batch *next_batch(const struct master *m)
{
    for (size_t i = 0; i < m->nqueues; i++)
        for (struct batch *b = m->queues[i]->pause.on ? NULL : m->queues[i]->batches; b;
             b = b->next)
            if (b->trial && !b->gone && !b->give)
                return b;
    return NULL;
}

static struct job *present(const struct batch *b)
{
    for (uint32_t i = 0; i < b->read; i++)
        if (b->job[i])
            return b->job[i];
    return NULL;
}

/* ---- one job ---- */

static void RUNS_ON(on_master)
    on_named(struct redis_link *link, const struct redis_reply *r, void *data)
{
    (void)link;
    struct batch *b = data;
    struct queue *q = b->queue;
    b->out--;
    b->naming = false;
    if (r && r->type == REDIS_INTEGER && r->integer == 1)
        b->named = (uint32_t)strtoul(b->mark, NULL, 10) + 1;
    else if (r && r->type == REDIS_INTEGER)
        recover_vanished(b);
    else if (r)
        trouble_is(&q->trouble, TROUBLE_RECOVER, q->conf->name, r);
    if (r && r->type != REDIS_INTEGER)
        again_in(q->master, REFUSED_MS);
    settle_dirty(b);
}

/* In its entry: who takes the batch next knows what ran. */
static void RUNS_ON(on_master) name_job(struct batch *b, uint32_t index)
{
    struct queue *q = b->queue;
    char mark[sizeof b->mark];
    (void)snprintf(mark, sizeof mark, "%" PRIu32, index);
    if (strcmp(b->mark, mark) != 0) {
        (void)strcpy(b->mark, mark);
        b->strikes = 0;
    }
    char *entry = batch_entry(b);
    if (!entry)
        return again_in(q->master, 1000);
    struct redis_command *c = queue_script(q, "entry", 2);
    redis_arg_text(c, b->list);
    redis_arg_text(c, q->key.batches);
    redis_arg_text(c, b->field);
    redis_arg_text(c, entry);
    redis_arg_text(c, "1");
    b->naming = redis_send(q->master->work, c, 0, on_named, b) == 0;
    b->out += b->naming;
    if (!b->naming)
        again_in(q->master, REFUSED_MS);
    free(entry);
}

static void RUNS_ON(on_master) step_job(struct batch *b, struct job *j)
{
    struct master *m = b->queue->master;
    if (j->running || j->outcome != JOB_NONE || b->naming || ev_is_active(&m->trial.again))
        return;
    if (b->named != j->index + 1)
        return name_job(b, j->index);
    m->trial.tried = dispatch_alone(j) || m->trial.tried;
}

/* ---- the whole ---- */

static void RUNS_ON(on_master) let_go(struct master *m, enum trial_state state)
{
    m->trial.state = state;
    for (size_t i = 0; i < m->nqueues; i++) {
        dispatch_pump(m->queues[i]);
        claim_kick(m->queues[i]);
    }
}

static void RUNS_ON(on_master) run(struct master *m, struct batch *b)
{
    struct trial *t = &m->trial;
    int64_t now = clock_now_ms();
    struct job *j = b ? present(b) : NULL;
    if (j)
        return step_job(b, j);
    if (!b || (t->tried && now - t->drained_ms >= t->drained_ms - t->since_ms)) {
        again_in(m, now - t->since_ms + 1);
        return let_go(m, TRIAL_RESTS);
    }
    if (b->read < b->length)
        feed_one(b);
    else
        trial_end(b); /* each of its jobs is settled */
}

void trial_step(struct master *m)
{
    struct trial *t = &m->trial;
    struct batch *b = t->batches ? next_batch(m) : NULL;
    if (master_quiet(m))
        return;
    if (t->state == TRIAL_RESTS && !ev_is_active(&t->again))
        t->state = TRIAL_NONE;
    if (t->state == TRIAL_NONE && b) {
        t->state = TRIAL_DRAINS;
        t->since_ms = clock_now_ms();
        t->tried = false;
    }
    if (t->state == TRIAL_DRAINS && !b)
        return let_go(m, TRIAL_NONE); /* paused, given back or gone: nobody waits for a drain */
    if (t->state == TRIAL_DRAINS && !m->running) {
        t->state = TRIAL_RUNS;
        t->drained_ms = clock_now_ms();
    }
    if (t->state == TRIAL_RUNS)
        run(m, b);
}
