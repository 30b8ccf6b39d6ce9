/* The batches in memory against what Redis has: a list that is gone is known to be lost, an entry
 * that is missing beside its list is written again. */
#include "daemon/recovery.h"

#include <stdlib.h>

#include "common/thread.h"
#include "daemon/master.h"

static void RUNS_ON(on_master) write_entry_again(struct batch *b)
{
    struct queue *q = b->queue;
    char *entry = batch_entry(b);
    if (!entry)
        return;
    struct redis_command *c = queue_script(q, "entry", 2);
    redis_arg_text(c, b->list);
    redis_arg_text(c, q->key.batches);
    redis_arg_text(c, b->field);
    redis_arg_text(c, entry);
    redis_arg_text(c, "0");
    (void)redis_send(q->master->work, c, 0, NULL,
                     NULL); /* the next comparison tells whether it is there */
    free(entry);
}

/* Something about it is out, or will be said anyway: this comparison does not judge it. */
static bool not_judged(const struct batch *b)
{
    return b->gone || b->give || b->tried || b->out != 1; /* 1: the comparison itself */
}

static struct batch *next_of_mine(struct recovery *x, struct batch *from)
{
    while (from && (from->epoch != x->epoch || from->gone || from->once))
        from = from->next;
    return from;
}

static void RUNS_ON(on_master)
    on_length(struct redis_link *link, const struct redis_reply *r, void *data)
{
    (void)link;
    struct recovery *x = data;
    struct queue *q = x->queue;
    struct batch *b = x->batch, *next = b->next;
    if (r && r->type == REDIS_INTEGER && !not_judged(b)) {
        if (!r->integer)
            recover_vanished(b);
        else if (!entries_find(&x->entries, b->field))
            write_entry_again(b);
    }
    b->out--;
    settle_dirty(b);
    x->batch = NULL;
    if (!r || x->epoch != q->epoch)
        return recover_give_up(x);
    if (r->type != REDIS_INTEGER)
        recover_passed_over(x, r);
    compare_next(x, next);
}

void compare_next(struct recovery *x, struct batch *b)
{
    struct queue *q = x->queue;
    b = next_of_mine(x, b);
    if (!b) {
        x->at = 0;
        return recover_fence(x);
    }
    struct redis_command *c = q->master->command;
    redis_begin(c, "LLEN");
    redis_arg_text(c, b->list);
    x->batch = b;
    if (redis_send(q->master->work, c, 0, on_length, x) < 0)
        return recover_give_up(x);
    b->out++; /* keeps it in memory until the answer */
}
