/* Batches that a comparison found, or that were taken: their payloads are read as slots come free,
 * oldest first. */
#include "daemon/queue.h"

#include <errno.h>

#include "common/clock.h"
#include "common/log.h"
#include "daemon/master.h"

#define READ_JOBS 500
#define REFUSED_MS 1000

/* b is not in memory yet. */
int feed_batch(struct batch *b, uint32_t length, const struct redis_reply *bits)
{
    struct queue *q = b->queue;
    bool known = bits->type == REDIS_STRING;
    if (batch_fill(b, length, known ? bits->str : NULL, known ? bits->len : 0) < 0) {
        (void)batch_free(b); /* the next comparison finds it again */
        master_short(q->master);
        return -ENOMEM;
    }
    log_info("batch-found", "queue='%s' batch=%s jobs=%u recoveries=%u", q->conf->label, b->field,
             b->unsettled, b->recoveries);
    queue_add(q, b);
    if (b->recoveries >= (unsigned)q->conf->max_recoveries && b->unsettled)
        trial_add(b);
    q->unread += batch_unread(b);
    q->master->unread += batch_unread(b);
    settle_dirty(b); /* it may be settled as a whole already */
    if (queue_stands_still(q))
        giveback_batch(b);
    return 0;
}

static struct batch *first_unread(struct queue *q)
{
    for (struct batch *b = q->batches; b; b = b->next)
        if (b->job && batch_unread(b) && !b->give && clock_now_ms() >= b->read_at_ms)
            return b;
    return NULL;
}

static void read_jobs(struct batch *b, const struct redis_reply *r)
{
    struct queue *q = b->queue;
    for (size_t i = r->n; i > 0 && b->read < b->length;
         i--) { /* the list's right end is the oldest */
        if (!batch_bit(b, b->read)) {
            struct job *j = queue_new_job(b, b->read, &r->item[i - 1]);
            if (!j)
                return master_short(q->master);
            b->job[b->read] = j;
            dispatch_read(j);
        }
        b->read++;
        q->unread -= !b->trial;
        q->master->unread -= !b->trial;
    }
    settle_dirty(b);
}

static bool is_range(const struct redis_reply *r)
{
    bool range = r->type == REDIS_ARRAY;
    for (size_t i = 0; range && i < r->n; i++)
        range = redis_is_payload(&r->item[i]);
    return range;
}

static void on_read(struct redis_link *link, const struct redis_reply *r, void *data)
{
    (void)link;
    struct batch *b = data;
    struct queue *q = b->queue;
    b->out--;
    queue_unreserve(q, q->recover.reading);
    q->recover.reading = 0;
    if (!r || b->gone || b->give)
        return settle_dirty(b); /* given back or lost meanwhile: what was read is thrown away */
    if (!is_range(r)) {
        trouble_is(&q->trouble, TROUBLE_RECOVER, q->conf->name, r);
        b->read_at_ms = clock_now_ms() + REFUSED_MS; /* other batches do not wait for it */
        return;
    }
    if (!r->n)
        recover_vanished(b);
    else
        read_jobs(b, r);
    dispatch_pump(q);
}

static void RUNS_ON(on_master) read_next(struct batch *b, uint32_t n)
{
    struct queue *q = b->queue;
    struct redis_command *c = q->master->command;
    redis_begin(c, "LRANGE");
    redis_arg_text(c, b->list);
    redis_arg_int(c, -(int64_t)b->read - n);
    redis_arg_int(c, -(int64_t)b->read - 1);
    if (redis_send(q->master->work, c, 0, on_read, b) < 0)
        return;
    b->out++;
    q->recover.reading = n;
    queue_reserve(q, n);
}

void feed_kick(struct queue *q)
{
    struct batch *b;
    uint32_t n = queue_idle(q);
    if (!q->unread || q->recover.reading || !n || queue_stands_still(q) ||
        master_is_short(q->master) || !redis_link_up(q->master->work) || !(b = first_unread(q)))
        return;
    if (n > batch_unread(b))
        n = batch_unread(b);
    read_next(b, n > READ_JOBS ? READ_JOBS : n);
}

void feed_one(struct batch *b)
{
    struct queue *q = b->queue;
    while (b->read < b->length && batch_bit(b, b->read))
        b->read++;
    if (b->read < b->length && !q->recover.reading && clock_now_ms() >= b->read_at_ms &&
        redis_link_up(q->master->work))
        read_next(b, 1);
}
