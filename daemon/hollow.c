/* A batch that is mostly settled, and more than a second old, keeps in Redis what nobody needs: the
 * payloads of its settled jobs. They are overwritten there, so that one that runs long pins no
 * payload but its own. At each look, where more was settled since. */
#include "daemon/queue.h"

#include "common/clock.h"
#include "daemon/master.h"

#define AGE_MS 1000

static void RUNS_ON(on_master)
    on_hollow(struct redis_link *link, const struct redis_reply *r, void *data)
{
    (void)link;
    struct batch *b = data;
    struct queue *q = b->queue;
    b->out--;
    if (r && r->type == REDIS_ERROR)
        trouble_is(&q->trouble, TROUBLE_SETTLE, q->conf->name, r);
    if (!r || r->type != REDIS_INTEGER)
        b->hollow = 0; /* again, at the next look */
    settle_dirty(b);
}

/* How many of its jobs are settled and confirmed, though their elements are there. */
static uint32_t settled(const struct batch *b)
{
    return b->length - b->unsettled;
}

static bool is_worth_it(const struct batch *b)
{
    uint32_t n = settled(b);
    return !b->once && !b->gone && !b->out && !b->giving && n < b->length && n > b->length / 2 &&
           n > b->hollow && clock_now_ms() - b->born_ms > AGE_MS;
}

void hollow_look(struct queue *q)
{
    for (struct batch *b = q->batches; b; b = b->next) {
        if (!is_worth_it(b))
            continue;
        struct redis_command *c = queue_script(q, "hollow", 2);
        redis_arg_text(c, b->list);
        redis_arg_text(c, b->acked);
        if (redis_send(q->master->work, c, 0, on_hollow, b) < 0)
            return;
        b->out++;
        b->hollow = settled(b);
    }
}
