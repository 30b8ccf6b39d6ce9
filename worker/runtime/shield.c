#include "worker/runtime/shield.h"

#include <errno.h>
#include <stdlib.h>

#include "worker/runtime/internal.h"

/* As with a gather, the watch on the inner future keeps it alive without being counted in refs. */
struct shield {
    struct future future; /* first */
    struct watch watch;   /* of the inner future */
    struct watch own;     /* of the shield itself */
    struct future *inner; /* held; NULL: it is pending and nobody holds the shield */
    bool watching;
};

static void end_shield(struct future *f);
static const struct future_kind shield_kind = {.lost_error = "Future exception was never retrieved",
                                               .end = end_shield,
                                               .completes_itself = true,
                                               .keeps_result = true};

static void destroy(struct shield *s)
{
    struct loop *l = s->future.loop;
    future_deinit(&s->future);
    future_unref(s->inner);
    free(s);
    loop_release(l);
}

static void watch_is_over(struct shield *s)
{
    s->watching = false;
    if (s->future.refs == 0)
        destroy(s);
}

static void end_shield(struct future *f)
{
    struct shield *s = CONTAINER_OF(f, struct shield, future);
    struct future *inner = s->inner;
    if (!s->watching) {
        destroy(s);
    } else if (inner && !future_done(inner)) {
        s->inner = NULL;
        future_unref(inner);
    }
}

static void copy(struct shield *s)
{
    struct future *f = &s->future, *inner = s->inner;
    inner->looked_at = true;
    if (inner->state == FUTURE_FINISHED)
        future_finish(f, FUTURE_FINISHED, 0, inner->result);
    else if (inner->state == FUTURE_FAILED)
        future_finish(f, FUTURE_FAILED, inner->code, error_ref(inner->error));
    else
        (void)future_cancel(f);
}

static void on_done(struct watch *w)
{
    struct shield *s = CONTAINER_OF(w, struct shield, watch);
    if (!s->inner)
        s->inner = future_ref(w->future);
    if (future_done(&s->future))
        s->inner->looked_at = true;
    else
        copy(s);
    watch_is_over(s);
}

static void on_lost(struct watch *w)
{
    watch_is_over(CONTAINER_OF(w, struct shield, watch));
}

/* One iteration after it was cancelled the shield is no longer interested. */
static void on_own_done(struct watch *w)
{
    struct shield *s = CONTAINER_OF(w, struct shield, own);
    struct future *inner = s->inner;
    if (!s->watching || future_done(s->watch.future))
        return;
    (void)future_unwatch(&s->watch);
    s->watching = false; /* the reference for this call keeps s */
    s->inner = NULL;
    future_unref(inner);
}

static void on_own_lost(struct watch *w)
{
    (void)w; /* the shield itself goes */
}

struct future *shield(struct future *inner)
{
    if (!inner) {
        errno = -ERROR_TYPE;
        return NULL;
    }
    struct loop *l = inner->loop;
    loop_check_thread(l, __func__);
    if (future_done(inner))
        return future_ref(inner);
    if (loop_is_closed(l)) {
        errno = -ERROR_CLOSED;
        return NULL;
    }
    struct shield *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    future_init(&s->future, l, &shield_kind);
    s->watch = (struct watch){.done = on_done, .lost = on_lost};
    s->own = (struct watch){.done = on_own_done, .lost = on_own_lost};
    s->inner = future_ref(inner);
    s->watching = true;
    future_watch(inner, &s->watch);
    future_watch(&s->future, &s->own);
    return &s->future;
}
