/* Claimed jobs that have not begun return to the end of the list that is popped next: the newest
 * batch first and each from its left, so that the oldest job is popped next; records return to the
 * retries, due now, as they were: no try was made. They leave memory
 * before the script is sent and never run here. What another instance left and could not be begun
 * here within a lease goes to the retries too, from where any instance with slots takes it; and so
 * does what was on trial: a record counts how often it was recovered. */
#include "daemon/queue.h"

#include "common/clock.h"
#include "common/log.h"
#include "daemon/master.h"
#include "daemon/timer.h"

static void give_next(struct queue *q);

static void on_again(struct ev_loop *loop, ev_timer *w, int revents)
{
    (void)loop, (void)revents;
    thread_assert(&on_master);
    give_next(w->data);
}

void giveback_init(struct queue *q)
{
    ev_timer_init(&q->giveback.again, on_again, 0, 0);
    q->giveback.again.data = q;
}

void giveback_deinit(struct queue *q)
{
    ev_timer_stop(q->master->loop, &q->giveback.again);
}

static void again_in(struct queue *q, int64_t ms)
{
    timer_in(q->master->loop, &q->giveback.again, ms);
}

static void leave_waiting(struct batch *b, uint32_t down)
{
    struct queue *q = b->queue;
    struct job *j = q->waiting.head;
    job_list_init(&q->waiting);
    for (struct job *next; j; j = next) {
        next = j->next;
        if (j->batch != b || j->index < down)
            job_list_push(&q->waiting, j);
    }
}

/* The jobs from `down` on leave memory. */
static void shorten(struct batch *b, uint32_t down)
{
    struct queue *q = b->queue;
    leave_waiting(b, down);
    for (uint32_t i = down; i < b->length; i++)
        b->unsettled -= i < b->read ? b->job[i] != NULL : !batch_bit(b, i);
    for (uint32_t i = down; i < b->read; i++)
        if (b->job[i])
            queue_free_job(b->job[i]);
    uint32_t read = b->read < down ? b->read : down, unread = batch_unread(b) - (down - read);
    q->unread -= unread;
    q->master->unread -= unread;
    b->read = read;
    b->length = down;
}

static void RUNS_ON(on_master) given(struct batch *b)
{
    struct queue *q = b->queue;
    b->give = b->giving = b->pass = false;
    q->giveback.batch = NULL;
    if (!b->length)
        b->gone = true;
    settle_dirty(b);
    give_next(q);
    master_step(q->master);
}

static void send_one(struct batch *b);

static void RUNS_ON(on_master)
    on_given(struct redis_link *link, const struct redis_reply *r, void *data)
{
    (void)link;
    struct batch *b = data;
    struct queue *q = b->queue;
    b->out--;
    q->giveback.out = false;
    if (r && r->type == REDIS_INTEGER) {
        trouble_over(&q->trouble, TROUBLE_SETTLE);
        return r->integer > b->length && !b->gone ? send_one(b) : given(b);
    }
    if (r)
        trouble_is(&q->trouble, TROUBLE_SETTLE, q->conf->name, r);
    if (b->gone)
        return given(b);
    again_in(q, 100);
}

static void RUNS_ON(on_master) send_one(struct batch *b)
{
    struct queue *q = b->queue;
    struct redis_command *c = queue_script(q, "give_back", 6);
    redis_arg_text(c, b->list);
    redis_arg_text(c, b->acked);
    redis_arg_text(c, q->key.batches);
    redis_arg_text(c, q->key.queue);
    redis_arg_text(c, q->key.retry);
    redis_arg_text(c, q->key.stats);
    redis_arg_text(c, b->field);
    redis_arg_int(c, b->length);
    redis_arg_text(c, b->records ? "retry" : b->pass || b->trial ? "record" : "queue");
    redis_arg_text(c, b->birth);
    redis_arg_int(c, b->pass || b->trial ? b->recoveries : 0);
    q->giveback.out = redis_send(q->master->work, c, 0, on_given, b) == 0;
    if (q->giveback.out)
        b->out++;
    else
        again_in(q, 100);
}

static void RUNS_ON(on_master) give_next(struct queue *q)
{
    struct batch *b = q->giveback.batch;
    if (q->giveback.out)
        return;
    if (b)
        return send_one(b); /* again, after a refusal or a cut */
    bool leaving = q->master->life >= LIFE_CANCELLING;
    for (b = q->newest; b; b = b->prev) {
        if (b->once || b->gone)
            continue;
        uint32_t down = batch_begun(b);
        if (b->give && down < b->length)
            break;
        b->give = false;
        if (leaving && down && b->job[down - 1]->running)
            return; /* it goes back too: what is older waits, or it would come behind it */
    }
    if (!b)
        return;
    q->giveback.batch = b;
    b->giving = true;
    shorten(b, batch_begun(b));
    send_one(b);
}

/* Its list is gone: at the end nobody will run what has not begun. */
static void drop_waiting(struct batch *b)
{
    leave_waiting(b, 0);
    for (uint32_t i = 0; i < b->read; i++)
        if (b->job[i] && !b->job[i]->running && b->job[i]->outcome == JOB_NONE)
            queue_free_job(b->job[i]);
    settle_dirty(b);
}

static void begin(struct batch *b)
{
    if (b->once)
        return;
    b->give = !b->gone;
    if (b->gone && master_quiet(b->queue->master))
        drop_waiting(b);
}

void giveback_batch(struct batch *b)
{
    begin(b);
    give_next(b->queue);
}

void giveback_all(struct queue *q)
{
    for (struct batch *b = q->batches; b; b = b->next)
        begin(b);
    give_next(q);
    once_give_back(q);
}

static bool waits_too_long(const struct batch *b)
{
    return b->adopted && !b->give && !b->gone && batch_unread(b) &&
           clock_now_ms() - b->born_ms >= b->queue->master->conf->lease_ms;
}

void giveback_look(struct queue *q)
{
    for (struct batch *b = q->batches; b; b = b->next) {
        if (q->pause.on || !waits_too_long(b))
            continue;
        b->pass = true;
        log_info("passed-on", "queue='%s' batch=%s what='no slot for it within a lease'",
                 q->conf->label, b->field);
        giveback_batch(b);
    }
}

void giveback_forget(struct batch *b)
{
    struct giveback *g = &b->queue->giveback;
    if (g->batch == b)
        g->batch = NULL; /* its timer looks for the next */
}
