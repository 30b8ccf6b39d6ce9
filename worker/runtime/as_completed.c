#include "worker/runtime/as_completed.h"

#include <errno.h>
#include <stdlib.h>

#include "worker/runtime/internal.h"

struct slot {
    struct watch watch;
    struct as_completed *all;
    struct future *future; /* held until as_completed_free */
    struct slot *next;     /* in the order of completion */
    bool arrived, overdue;
};

struct getter { /* on the stack of a task that waits for an outcome */
    struct getter *next;
    struct future *called; /* done: there is an outcome */
};

/* Outlives as_completed_free as long as a watch of it is queued. */
struct as_completed {
    size_t refs;
    size_t count, left, asked; /* different futures; how many of them are to come; outcomes */
    size_t waiting;            /* tasks in as_completed_next */
    struct slot *first, *last; /* arrived, and not taken */
    struct getter *getters;    /* who waits longest first */
    struct loop *loop;         /* borrowed: the futures hold it; NULL: there are none */
    struct handle *limit;
    struct slot slots[];
};

static void release(struct as_completed *a)
{
    if (--a->refs == 0)
        free(a);
}

static void call_next(struct as_completed *a)
{
    while (a->getters) {
        struct future *f = a->getters->called;
        a->getters = a->getters->next;
        if (!future_done(f)) {
            (void)future_set_result(f, NULL);
            return;
        }
    }
}

static void arrive(struct as_completed *a, struct slot *s)
{
    s->arrived = true;
    s->next = NULL;
    if (a->first)
        a->last->next = s;
    else
        a->first = s;
    a->last = s;
    a->left--;
    call_next(a);
}

static void on_done(struct watch *w)
{
    struct slot *s = CONTAINER_OF(w, struct slot, watch);
    struct as_completed *a = s->all;
    if (s->future && !s->arrived) {
        arrive(a, s);
        if (a->left == 0 && a->limit)
            handle_cancel(a->limit);
    }
    release(a);
}

static void on_lost(struct watch *w)
{
    release(CONTAINER_OF(w, struct slot, watch)->all);
}

static void unwatch(struct slot *s)
{
    if (!s->arrived && future_unwatch(&s->watch))
        s->all->refs--;
}

static void on_limit(void *arg)
{
    struct as_completed *a = arg;
    for (size_t i = 0; i < a->count; i++) {
        struct slot *s = &a->slots[i];
        if (s->arrived)
            continue;
        unwatch(s);
        s->overdue = true;
        arrive(a, s);
    }
}

static int check(struct future *const *fs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!fs[i])
            return ERROR_TYPE;
        if (fs[i]->loop != fs[0]->loop)
            return ERROR_OTHER_LOOP;
    }
    if (count == 0)
        return 0;
    loop_check_thread(fs[0]->loop, "as_completed_new");
    return loop_is_closed(fs[0]->loop) ? ERROR_CLOSED : 0;
}

static void fill(struct as_completed *a, struct future *const *fs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (fs[i]->seen)
            continue;
        fs[i]->seen = true;
        a->slots[a->count++] = (struct slot){
            .watch = {.done = on_done, .lost = on_lost}, .all = a, .future = future_ref(fs[i])};
    }
    for (size_t i = 0; i < a->count; i++) {
        a->slots[i].future->seen = false;
        future_watch(a->slots[i].future, &a->slots[i].watch);
    }
    a->left = a->count;
    a->refs += a->count;
}

struct as_completed *as_completed_new(struct future *const *fs, size_t count, int64_t timeout_ms)
{
    if (count)
        GIVEN(fs);
    int r = check(fs, count);
    if (r < 0) {
        errno = -r;
        return NULL;
    }
    struct as_completed *a = calloc(1, sizeof *a + count * sizeof a->slots[0]);
    if (!a)
        return NULL;
    a->refs = 1;
    a->loop = count ? fs[0]->loop : NULL;
    if (count && timeout_ms >= 0) {
        a->limit = loop_call_later(a->loop, timeout_ms, on_limit, a);
        if (!a->limit) {
            free(a);
            return NULL;
        }
        (void)handle_ref(a->limit);
    }
    fill(a, fs, count);
    return a;
}

/* The first line of what belongs to the loop's thread; without futures there is no loop. */
static void check_caller(const struct as_completed *a, const char *who)
{
    if (a->loop)
        loop_check_thread(a->loop, who);
}

struct as_completed *as_completed_free(struct as_completed *a)
{
    if (!a)
        return NULL;
    check_caller(a, __func__);
    if (a->waiting && !loop_is_closed(a->loop))
        error_fatal("as_completed_free: a task still waits in it");
    if (a->limit)
        handle_cancel(a->limit);
    handle_unref(a->limit);
    for (size_t i = 0; i < a->count; i++) {
        struct future *f = a->slots[i].future;
        unwatch(&a->slots[i]);
        a->slots[i].future = NULL;
        future_unref(f);
    }
    release(a);
    return NULL;
}

bool as_completed_more(const struct as_completed *a)
{
    GIVEN(a);
    check_caller(a, __func__);
    return a->asked < a->count;
}

static void join(struct as_completed *a, struct getter *g)
{
    struct getter **at = &a->getters;
    while (*at)
        at = &(*at)->next;
    g->next = NULL;
    *at = g;
}

static void leave(struct as_completed *a, const struct getter *g)
{
    for (struct getter **at = &a->getters; *at; at = &(*at)->next)
        if (*at == g) {
            *at = g->next;
            return;
        }
}

/* As asyncio.Queue.get: who was called and is cancelled then calls the next one. */
static int wait_called(struct as_completed *a, struct err *e)
{
    struct getter g = {.called = loop_create_future(a->loop)};
    if (!g.called)
        return error_set(e, -ENOMEM);
    join(a, &g);
    a->waiting++;
    int r = future_await(g.called, NULL, e);
    a->waiting--;
    if (r < 0) {
        leave(a, &g);
        if (a->first && !future_cancelled(g.called))
            call_next(a);
    }
    future_unref(g.called);
    return r;
}

/* Before an outcome is asked for: misuse takes none away. */
static int check_waiter(const struct as_completed *a, struct err *e)
{
    const struct task *t = task_here();
    if (!t)
        return error_set(e, ERROR_NO_TASK);
    return t->future.loop == a->loop ? 0 : error_set(e, ERROR_OTHER_LOOP);
}

int as_completed_next(struct as_completed *a, struct future **ret_future, void **ret_result,
                      struct err *e)
{
    GIVEN(a);
    check_caller(a, __func__);
    if (ret_future)
        *ret_future = NULL;
    if (a->asked == a->count)
        return err_set(e, ERROR_RUNTIME, "all outcomes were asked for");
    int r = a->first ? 0 : check_waiter(a, e);
    if (r < 0)
        return r;
    a->asked++;
    while (!a->first) {
        r = wait_called(a, e);
        if (r < 0)
            return r;
    }
    struct slot *s = a->first;
    a->first = s->next;
    if (s->overdue)
        return error_set(e, -ETIMEDOUT);
    if (ret_future)
        *ret_future = s->future;
    return future_result(s->future, ret_result, e);
}
