#include "worker/runtime/gather.h"

#include <errno.h>
#include <stdlib.h>

#include "worker/runtime/internal.h"

struct slot {
    struct watch watch;
    struct gather *gather;
    struct future *child; /* held; NULL: it is pending and nobody holds the gather */
};

/* The users' references are the future's; the watches keep it alive without being counted there,
 * so that a gather that nobody holds can let go of children that will never be done. */
struct gather {
    struct future future; /* first */
    struct gathered *results;
    size_t count, finished, watching;
    bool return_errors, cancel_requested;
    struct slot slots[];
};

static bool cancel_children(struct future *f);
static void end_gather(struct future *f);
static const struct future_kind gather_kind = {.lost_error =
                                                   "_GatheringFuture exception was never retrieved",
                                               .cancel = cancel_children,
                                               .end = end_gather,
                                               .completes_itself = true,
                                               .keeps_result = true};

static struct gather *gather_of(struct future *f)
{
    return CONTAINER_OF(f, struct gather, future);
}

static bool cancel_children(struct future *f)
{
    struct gather *g = gather_of(f);
    bool any = false;
    if (f->state != FUTURE_PENDING)
        return false; /* a plain future's error would count as seen: not a gather's */
    for (size_t i = 0; i < g->count; i++)
        if (g->slots[i].child && future_cancel(g->slots[i].child))
            any = true;
    if (any)
        g->cancel_requested = true;
    return any;
}

static void let_go(struct slot *s)
{
    struct future *child = s->child;
    s->child = NULL;
    future_unref(child);
}

static void destroy(struct gather *g)
{
    struct loop *l = g->future.loop;
    future_deinit(&g->future);
    for (size_t i = 0; i < g->count; i++)
        let_go(&g->slots[i]);
    free(g->results);
    free(g);
    loop_release(l);
}

/* Nobody holds it any more: what is pending is held by others or will never be done. */
static void end_gather(struct future *f)
{
    struct gather *g = gather_of(f);
    g->watching++; /* letting go may end the last child, and that would end g */
    for (size_t i = 0; i < g->count; i++)
        if (g->slots[i].child && !future_done(g->slots[i].child))
            let_go(&g->slots[i]);
    if (--g->watching == 0)
        destroy(g);
}

static void watch_is_over(struct gather *g)
{
    if (--g->watching == 0 && g->future.refs == 0)
        destroy(g);
}

static void fail(struct gather *g, int code, struct error *x)
{
    future_finish(&g->future, FUTURE_FAILED, code, x);
}

static void fail_cancelled(struct gather *g, const struct future *child)
{
    const char *why = child->state == FUTURE_CANCELLED ? error_text(child->error) : "";
    fail(g, -ECANCELED, error_new(-ECANCELED, why, NULL));
}

static void collect(struct gather *g)
{
    for (size_t i = 0; i < g->count; i++) {
        struct future *child = g->slots[i].child;
        struct gathered *r = &g->results[i];
        child->looked_at = true;
        r->code = future_code(child);
        r->value = child->state == FUTURE_FINISHED ? child->result : NULL;
        r->error = child->state == FUTURE_FINISHED ? NULL : child->error;
    }
}

static void child_is_done(struct gather *g, struct future *child)
{
    g->finished++;
    if (future_done(&g->future)) {
        child->looked_at = true;
    } else if (child->state == FUTURE_CANCELLED && !g->return_errors) {
        fail_cancelled(g, child);
    } else if (child->state == FUTURE_FAILED && !g->return_errors) {
        child->looked_at = true;
        fail(g, child->code, error_ref(child->error));
    } else if (g->finished == g->count) {
        collect(g);
        if (g->cancel_requested)
            fail_cancelled(g, child);
        else
            future_finish(&g->future, FUTURE_FINISHED, 0, g->results);
    }
}

static void on_done(struct watch *w)
{
    struct slot *s = CONTAINER_OF(w, struct slot, watch);
    if (!s->child)
        s->child = future_ref(w->future);
    child_is_done(s->gather, s->child);
    watch_is_over(s->gather);
}

static void on_lost(struct watch *w)
{
    watch_is_over(CONTAINER_OF(w, struct slot, watch)->gather);
}

static int common_loop(struct future *const *fs, size_t count, struct loop **ret_loop)
{
    struct loop *l = count ? NULL : loop_running();
    for (size_t i = 0; i < count; i++) {
        if (!fs[i])
            return ERROR_TYPE;
        if (l && fs[i]->loop != l)
            return ERROR_OTHER_LOOP;
        l = fs[i]->loop;
    }
    if (!l)
        return ERROR_NO_LOOP;
    loop_check_thread(l, "future_gather");
    *ret_loop = l;
    return loop_is_closed(l) ? ERROR_CLOSED : 0;
}

static struct gather *gather_new(struct loop *l, size_t count, unsigned flags)
{
    struct gather *g = calloc(1, sizeof *g + count * sizeof g->slots[0]);
    if (!g)
        return NULL;
    g->results = calloc(count ? count : 1, sizeof g->results[0]);
    if (!g->results) {
        free(g);
        return NULL;
    }
    future_init(&g->future, l, &gather_kind);
    g->count = g->watching = count;
    g->return_errors = flags & GATHER_RETURN_ERRORS;
    return g;
}

struct future *future_gather(struct future *const *fs, size_t count, unsigned flags)
{
    if (count)
        GIVEN(fs);
    struct loop *l;
    int r = common_loop(fs, count, &l);
    if (r < 0) {
        errno = -r;
        return NULL;
    }
    struct gather *g = gather_new(l, count, flags);
    if (!g)
        return NULL;
    if (count == 0)
        future_finish(&g->future, FUTURE_FINISHED, 0, g->results);
    for (size_t i = 0; i < count; i++) {
        g->slots[i] = (struct slot){
            .watch = {.done = on_done, .lost = on_lost}, .gather = g, .child = future_ref(fs[i])};
        future_watch(fs[i], &g->slots[i].watch);
    }
    return &g->future;
}

/* The tasks made so far; NULL: they are all there. */
static struct future *gather_tasks(struct future **fs, const struct gather_call *calls,
                                   size_t count, unsigned flags)
{
    struct future *g = NULL;
    size_t made = 0;
    while (made < count) {
        struct task *t = task_create(calls[made].fn, calls[made].arg, NULL);
        if (!t)
            break;
        t->no_destroy_report = true;
        fs[made++] = &t->future;
    }
    if (made == count)
        g = future_gather(fs, count, flags);
    int code = errno;
    for (size_t i = 0; i < made; i++) {
        if (!g)
            (void)future_cancel(fs[i]);
        future_unref(fs[i]);
    }
    errno = code;
    return g;
}

struct future *gather_calls(const struct gather_call *calls, size_t count, unsigned flags)
{
    if (count)
        GIVEN(calls);
    struct future **fs = malloc((count ? count : 1) * sizeof(struct future *));
    if (!fs)
        return NULL;
    struct future *g = gather_tasks(fs, calls, count, flags);
    int code = errno;
    free(fs);
    errno = code;
    return g;
}
