#include "daemon/queue.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "daemon/master.h"
#include "daemon/record.h"
#include "daemon/script.h"

struct queue *queue_new(struct master *m, const struct conf_queue *conf)
{
    struct queue *q = calloc(1, sizeof *q);
    if (!q)
        return NULL;
    q->master = m;
    q->conf = conf;
    q->instance = m->conf->instance;
    job_list_init(&q->waiting);
    q->epoch = epoch_new(lock_run(m->lock), ++m->epoch_numbers);
    if (!q->epoch || keys_init(&q->key, conf->name, q->instance) < 0) {
        (void)epoch_unref(q->epoch);
        free(q);
        return NULL;
    }
    owner_init(q);
    recover_init(q);
    adopt_init(q);
    settle_init(q);
    deliver_init(q);
    giveback_init(q);
    once_init(q);
    pause_init(q);
    due_init(q);
    if (claim_open(q) < 0)
        return queue_free(q);
    return q;
}

struct queue *queue_free(struct queue *q)
{
    if (!q)
        return NULL;
    claim_close(q);
    pause_deinit(q);
    recover_deinit(q);
    adopt_deinit(q);
    owner_deinit(q);
    settle_deinit(q);
    deliver_deinit(q);
    giveback_deinit(q);
    once_deinit(q);
    due_deinit(q);
    while (q->batches)
        queue_forget(q, q->batches);
    keys_deinit(&q->key);
    (void)epoch_unref(q->epoch);
    free(q);
    return NULL;
}

bool queue_stands_still(const struct queue *q)
{
    return q->pause.on || master_quiet(q->master);
}

/* The master's slots and the queue's own limit, less what is taken of them. */
static uint32_t free_slots(const struct queue *q, uint32_t taken, uint32_t here)
{
    const struct master *m = q->master;
    if (trial_holds(m))
        return 0;
    uint32_t limit = (uint32_t)q->conf->concurrency;
    uint32_t room = m->slots > taken ? m->slots - taken : 0;
    if (!limit)
        return room;
    uint32_t own = limit > here ? limit - here : 0;
    return own < room ? own : room;
}

/* What found batches are still owed counts as held. */
uint32_t queue_room_now(const struct queue *q)
{
    const struct master *m = q->master;
    return free_slots(q, m->held + m->unread, q->held + q->unread);
}

uint32_t queue_room(const struct queue *q)
{
    const struct master *m = q->master;
    return free_slots(q, m->held - m->settling + m->unread, q->held - q->settling + q->unread);
}

uint32_t queue_idle(const struct queue *q)
{
    return free_slots(q, q->master->held, q->held);
}

void queue_reserve(struct queue *q, uint32_t n)
{
    q->held += n;
    q->master->held += n;
}

void queue_unreserve(struct queue *q, uint32_t n)
{
    q->held -= n;
    q->master->held -= n;
}

struct redis_command *queue_script(struct queue *q, const char *script, unsigned nkeys)
{
    struct redis_command *c = q->master->command;
    redis_begin_script(c, script_find(script), nkeys + 1);
    redis_arg_text(c, q->key.none);
    return c;
}

const char *queue_target(const struct queue *q, const char *list)
{
    return list[0] ? list : q->key.none;
}

void queue_add(struct queue *q, struct batch *b)
{
    b->next = NULL;
    b->seq = ++q->last_seq;
    b->prev = q->newest;
    if (q->newest)
        q->newest->next = b;
    else
        q->batches = b;
    q->newest = b;
}

static void count_unread(struct queue *q, struct batch *b)
{
    uint32_t unread = b->job && !b->gone ? batch_unread(b) : 0;
    q->unread -= unread;
    q->master->unread -= unread;
}

void queue_forget(struct queue *q, struct batch *b)
{
    assert(!b->out);
    for (uint32_t i = 0; b->job && i < b->read; i++)
        if (b->job[i])
            queue_free_job(b->job[i]);
    count_unread(q, b);
    trial_end(b);
    settle_forget(b);
    giveback_forget(b);
    *(b->prev ? &b->prev->next : &q->batches) = b->next;
    *(b->next ? &b->next->prev : &q->newest) = b->prev;
    (void)batch_free(b);
}

static struct job *fresh_job(struct queue *q, const struct redis_reply *r)
{
    bool large = r->type == REDIS_LARGE || r->len > (size_t)q->conf->max_payload;
    struct job *j = job_new(q->conf, large ? NULL : r->str, r->len);
    if (j)
        j->first_ms = clock_wall_ms();
    return j;
}

/* It goes on with the id, the tries and the history of its record. What is no record is a job all
 * the same, for the dead letters; of one too large to be read the id stays in Redis. */
static struct job *recorded_job(struct queue *q, const struct redis_reply *r)
{
    struct record x;
    bool alien = r->type != REDIS_LARGE && record_parse(r->str, r->len, &x) < 0;
    if (alien || r->type == REDIS_LARGE) {
        struct job *j = fresh_job(q, r);
        if (j && alien)
            j->alien = true;
        else if (j)
            j->head = -1;
        return j;
    }
    size_t len = r->len - x.head;
    struct job *j =
        job_new(q->conf, len > (size_t)q->conf->max_payload ? NULL : r->str + x.head, len);
    if (!j || !(j->id = strndup(r->str, x.id_len)))
        return job_free(j);
    j->head = (int64_t)x.head;
    j->attempt = x.attempt + 1;
    j->strikes = x.strikes;
    j->first_ms = x.first_ms;
    return j;
}

struct job *queue_new_job(struct batch *b, uint32_t index, const struct redis_reply *element)
{
    struct queue *q = b->queue;
    struct job *j = b->records ? recorded_job(q, element) : fresh_job(q, element);
    if (!j)
        return NULL;
    j->index = index;
    j->batch = b;
    j->birth = b->birth;
    j->start_until = &b->epoch->start_until;
    if (j->strikes > b->recoveries)
        b->recoveries = j->strikes; /* as claim_due.lua wrote its entry */
    b->job[index] = j;
    queue_reserve(q, 1);
    return j;
}

void queue_free_job(struct job *j)
{
    struct batch *b = j->batch;
    assert(!j->running && b->job[j->index] == j);
    b->job[j->index] = NULL;
    queue_unreserve(b->queue, 1);
    b->queue->master->condemned -= j->condemned;
    (void)job_free(j);
}
