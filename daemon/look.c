/* The look, every 2/15 of a lease: what lies in passage goes back, an epoch that is open is
 * recovered. It writes before it reads (the script's UNLINK), so it is refused or held back exactly
 * when a beat is. */
#include "daemon/queue.h"

#include "common/clock.h"
#include "daemon/master.h"

static void RUNS_ON(on_master)
    on_look(struct redis_link *link, const struct redis_reply *r, void *data)
{
    (void)link;
    struct queue *q = data;
    q->look.out = false;
    if (!r)
        return;
    if (r->type != REDIS_ARRAY || r->n != 2 || r->item[0].type != REDIS_INTEGER ||
        r->item[1].type != REDIS_INTEGER)
        return trouble_is(&q->trouble, TROUBLE_RECOVER, q->conf->name, r);
    if (r->item[0].integer)
        claim_put_back(q);
    if (r->item[1].integer && !q->recover.run && !ev_is_active(&q->recover.retry))
        recover_start(q, true);
}

void look_at(struct queue *q)
{
    trouble_look(&q->trouble, q->conf->name);
    if (!owner_current(q) || q->look.out)
        return;
    if (clock_now_ms() >= q->recover.next_ms && !q->recover.run && !ev_is_active(&q->recover.retry))
        recover_start(q, false);
    struct redis_command *c = queue_script(q, "look", 2);
    redis_arg_text(c, q->key.popped);
    redis_arg_text(c, q->key.fenced);
    q->look.out = redis_send(q->master->control, c, 0, on_look, q) == 0;
}
