/* Passage: a list that belongs to nobody, through which a pop takes its job (claim.c). Whoever
 * finds something in it puts it back where the next pop gets it; the owner of the moment, if it was
 * on the way, finds nothing and pops again. */
#include "daemon/master.h"
#include "daemon/queue.h"

static void RUNS_ON(on_master)
    on_put_back(struct redis_link *link, const struct redis_reply *r, void *data)
{
    (void)link;
    struct queue *q = data;
    q->clearing = false;
    if (r && r->type == REDIS_INTEGER && r->integer > 0)
        passage_clear(q);
    else if (r && r->type != REDIS_INTEGER)
        trouble_is(&q->trouble, TROUBLE_POP, q->conf->name, r); /* the next look finds it again */
}

void passage_clear(struct queue *q)
{
    if (q->clearing)
        return;
    struct redis_command *c = queue_script(q, "put_back", 2);
    redis_arg_text(c, q->key.popped);
    redis_arg_text(c, q->key.queue);
    q->clearing = redis_send(q->master->control, c, 0, on_put_back, q) == 0;
}
