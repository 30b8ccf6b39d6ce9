#include "worker/runtime/internal.h"

static void run_watch(struct loop_item *i)
{
    struct watch *w = CONTAINER_OF(i, struct watch, item);
    struct future *f = w->future;
    w->done(w);
    future_unref(f);
}

static void drop_watch(struct loop_item *i)
{
    struct watch *w = CONTAINER_OF(i, struct watch, item);
    struct future *f = w->future;
    w->lost(w);
    future_unref(f);
}

const struct loop_item_ops watch_ops = {run_watch, drop_watch};

void future_watch(struct future *f, struct watch *w)
{
    w->item.ops = &watch_ops;
    w->future = f;
    if (f->state == FUTURE_PENDING)
        queue_push(&f->callbacks, &w->item);
    else
        queue_push(&future_ref(f)->loop->ready, &w->item);
}

bool future_unwatch(struct watch *w)
{
    return future_unlink(w->future, &w->item);
}
