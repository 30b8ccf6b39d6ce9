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

static void RUNS_ON(on_master) judge(const struct recovery *x, struct batch *b, bool is_there)
{
    if (not_judged(b))
        return;
    if (!is_there)
        recover_vanished(b);
    else if (!entries_find(&x->entries, b->field))
        write_entry_again(b);
}

static void RUNS_ON(on_master)
    on_length(struct redis_link *link, const struct redis_reply *r, void *data)
{
    (void)link;
    struct recover_call *call = data;
    struct batch *b = call->batch;
    struct recovery *x = recover_call_end(call);
    if (x && r && r->type == REDIS_INTEGER)
        judge(x, b, r->integer);
    struct batch *next = x ? x->batch->next : NULL; /* the last one asked for is still there */
    b->out--;
    settle_dirty(b);
    if (!x)
        return;
    if (!r || x->epoch != x->queue->epoch)
        return recover_give_up(x);
    if (r->type != REDIS_INTEGER)
        recover_passed_over(x, r);
    compare_next(x, next);
}

static int RUNS_ON(on_master) ask_length(struct recovery *x, struct batch *b)
{
    struct queue *q = x->queue;
    struct recover_call *call = recover_call_new(x, b);
    if (!call)
        return -1;
    struct redis_command *c = q->master->command;
    redis_begin(c, "LLEN");
    redis_arg_text(c, b->list);
    if (redis_send(q->master->work, c, 0, on_length, call) < 0) {
        (void)recover_call_end(call);
        return -1;
    }
    b->out++; /* keeps it in memory until the answer */
    x->batch = b;
    return 0;
}

void compare_next(struct recovery *x, struct batch *b)
{
    for (b = next_of_mine(x, b); b && x->out < RECOVER_OUT; b = next_of_mine(x, b->next))
        if (ask_length(x, b) < 0)
            return recover_give_up(x);
    if (x->out)
        return;
    x->batch = NULL;
    x->at = 0;
    recover_fence(x);
}
