/* The look, every 2/15 of a lease: what lies in passage goes back, who stands still is fenced, an
 * epoch that is open is recovered. It writes before it reads (the script's UNLINK), so it is
 * refused or held back exactly when a beat is. */
#include "daemon/queue.h"

#include "common/clock.h"
#include "daemon/master.h"

/* None is under way, and none is about to begin. */
static bool free_to_recover(const struct queue *q)
{
    return !q->recover.run && !ev_is_active(&q->recover.retry);
}

static void RUNS_ON(on_master)
    on_look(struct redis_link *link, const struct redis_reply *r, void *data)
{
    (void)link;
    struct queue *q = data;
    q->look.out = false;
    if (!r || r->type != REDIS_ARRAY || r->n != 3 || r->item[0].type != REDIS_INTEGER ||
        r->item[1].type != REDIS_INTEGER || r->item[2].type != REDIS_ARRAY) {
        watch_anew(&q->adopt.watch); /* what could not be seen did not stand still */
        if (r)
            trouble_is(&q->trouble, TROUBLE_RECOVER, q->conf->name, r);
        return;
    }
    if (r->item[0].integer)
        passage_clear(q);
    adopt_look(q, &r->item[2], q->look.sent_ms);
    bool owed = r->item[1].integer || q->recover.owed;
    if (owed && free_to_recover(q) && !master_quiet(q->master) && !q->pause.on)
        recover_start(q, true);
}

void look_at(struct queue *q)
{
    trouble_look(&q->trouble, q->conf->name);
    owner_look(q);
    rest_look(q);
    if (!owner_current(q) || q->look.out)
        return;
    hollow_look(q);
    giveback_look(q);
    bool due = clock_now_ms() >= q->recover.next_ms || q->adopt.strays;
    if (due && (free_to_recover(q) || q->recover.waiting))
        recover_start(q, false);
    struct redis_command *c = queue_script(q, "look", 3);
    redis_arg_text(c, q->key.popped);
    redis_arg_text(c, q->key.fenced);
    redis_arg_text(c, q->key.owners);
    q->look.sent_ms = clock_boot_ms();
    q->look.out = redis_send(q->master->control, c, 0, on_look, q) == 0;
}
