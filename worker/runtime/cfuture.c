#include "worker/runtime/cfuture.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "worker/runtime/internal.h"

/* States only move down this list; CFUTURE_BUSY is held for the few instructions in which the
 * outcome is written. The state is what waiters sleep on (futex). */
enum {
    CFUTURE_PENDING,
    CFUTURE_RUNNING,
    CFUTURE_BUSY,
    CFUTURE_DONE,
    CFUTURE_FAILED,
    CFUTURE_CANCELLED
};

struct listener {
    struct listener *next;
    cfuture_fn fn;
    void *arg;
};

struct cfuture {
    struct loop_item item,
        cancel_item; /* on their way to the loop: the submission, the wish to cancel */
    atomic_uint refs;
    atomic_int state, waiters;
    int code;
    void *result;
    struct error *error;
    _Atomic(struct listener *) listeners; /* newest first; `told` once they were called */
    /* a submitted coroutine; the task belongs to the loop's thread */
    struct loop *loop; /* held; NULL: completed by somebody else */
    coro_fn fn;
    void *arg;
    char *name;
    struct task *task; /* borrowed until it has ended */
    struct watch watch;
    struct context *context;
};

static struct listener told;

static void futex_wait(const atomic_int *word, int value, const struct timespec *left)
{
    (void)syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, left, NULL, 0);
}

static int state_of(const struct cfuture *f)
{
    return atomic_load_explicit(&f->state, memory_order_acquire);
}

struct cfuture *cfuture_new(void)
{
    struct cfuture *f = malloc(sizeof *f);
    if (!f)
        return NULL;
    memset(f, 0, sizeof *f);
    atomic_init(&f->refs, 1);
    return f;
}

struct cfuture *cfuture_ref(struct cfuture *f)
{
    GIVEN(f);
    atomic_fetch_add_explicit(&f->refs, 1, memory_order_relaxed);
    return f;
}

void cfuture_unref(struct cfuture *f)
{
    if (!f || atomic_fetch_sub_explicit(&f->refs, 1, memory_order_acq_rel) > 1)
        return;
    struct listener *x = atomic_load_explicit(&f->listeners, memory_order_relaxed);
    while (x && x != &told) {
        struct listener *next = x->next;
        free(x);
        x = next;
    }
    error_unref(f->error);
    context_unref(f->context);
    loop_unref(f->loop);
    free(f->name);
    free(f);
}

bool cfuture_done(const struct cfuture *f)
{
    GIVEN(f);
    return state_of(f) >= CFUTURE_DONE;
}

bool cfuture_cancelled(const struct cfuture *f)
{
    GIVEN(f);
    return state_of(f) == CFUTURE_CANCELLED;
}

bool cfuture_running(const struct cfuture *f)
{
    GIVEN(f);
    return state_of(f) == CFUTURE_RUNNING;
}

static void call_listeners(struct cfuture *f)
{
    struct listener *x = atomic_exchange(&f->listeners, &told), *oldest = NULL;
    while (x) {
        struct listener *next = x->next;
        x->next = oldest;
        oldest = x;
        x = next;
    }
    while (oldest) {
        struct listener *next = oldest->next;
        oldest->fn(f, oldest->arg);
        free(oldest);
        oldest = next;
    }
}

/* Moves to BUSY from PENDING (or RUNNING, where that is allowed); false: done already. */
static bool claim(struct cfuture *f, bool from_running)
{
    int now = state_of(f);
    while (now == CFUTURE_PENDING || (now == CFUTURE_RUNNING && from_running))
        if (atomic_compare_exchange_weak(&f->state, &now, CFUTURE_BUSY))
            return true;
    return false;
}

static void settle(struct cfuture *f, int state)
{
    (void)cfuture_ref(f); /* who waits may drop the last one as soon as it sees the state */
    atomic_store(&f->state, state);
    if (atomic_load(&f->waiters) > 0)
        (void)syscall(SYS_futex, &f->state, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
    call_listeners(f);
    cfuture_unref(f);
}

bool cfuture_set_running(struct cfuture *f)
{
    GIVEN(f);
    int now = CFUTURE_PENDING;
    return atomic_compare_exchange_strong(&f->state, &now, CFUTURE_RUNNING);
}

int cfuture_set_result(struct cfuture *f, void *result)
{
    GIVEN(f);
    if (!claim(f, true))
        return ERROR_INVALID_STATE;
    f->result = result;
    settle(f, CFUTURE_DONE);
    return 0;
}

int cfuture_set_exception(struct cfuture *f, int code, struct error *x)
{
    GIVEN(f);
    error_check_code(code, __func__);
    if (!claim(f, true)) {
        error_unref(x);
        return ERROR_INVALID_STATE;
    }
    f->code = code;
    f->error = x;
    settle(f, CFUTURE_FAILED);
    return 0;
}

static bool settle_cancelled(struct cfuture *f)
{
    if (!claim(f, false))
        return false;
    settle(f, CFUTURE_CANCELLED);
    return true;
}

static void drop_cancel(struct loop_item *i)
{
    cfuture_unref(CONTAINER_OF(i, struct cfuture, cancel_item));
}

static void run_cancel(struct loop_item *i)
{
    struct cfuture *f = CONTAINER_OF(i, struct cfuture, cancel_item);
    if (f->task)
        (void)task_cancel(f->task);
    cfuture_unref(f);
}

static const struct loop_item_ops cancel_ops = {run_cancel, drop_cancel};

bool cfuture_cancel(struct cfuture *f)
{
    GIVEN(f);
    if (!settle_cancelled(f))
        return cfuture_cancelled(f);
    f->cancel_item.ops = &cancel_ops;
    if (f->loop && loop_post(f->loop, &cfuture_ref(f)->cancel_item) < 0)
        cfuture_unref(f);
    return true;
}

/* False on a timeout. The sleeper counts itself first, then looks at the state once more. */
static bool wait_done(struct cfuture *f, int64_t timeout_ms)
{
    int64_t deadline = timeout_ms < 0 ? -1 : clock_now_ns() + timer_ns(timeout_ms);
    struct timespec left, *limit = NULL;
    bool done = cfuture_done(f);
    atomic_fetch_add(&f->waiters, 1);
    while (!done) {
        if (deadline >= 0) {
            int64_t ns = deadline - clock_now_ns();
            if (ns <= 0)
                break;
            left = (struct timespec){.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
            limit = &left;
        }
        int now = state_of(f);
        done = now >= CFUTURE_DONE;
        if (!done)
            futex_wait(&f->state, now, limit);
    }
    atomic_fetch_sub(&f->waiters, 1);
    return done || cfuture_done(f);
}

static int outcome(struct cfuture *f, int64_t timeout_ms, struct err *e)
{
    if (!cfuture_done(f) && f->loop && f->loop == loop_running())
        error_fatal("cfuture_result: called on the loop's own thread, it would wait for itself");
    if (!cfuture_done(f) && !wait_done(f, timeout_ms))
        return error_set(e, -ETIMEDOUT);
    return cfuture_cancelled(f) ? error_set(e, -ECANCELED) : 0;
}

int cfuture_result(struct cfuture *f, int64_t timeout_ms, void **ret_result, struct err *e)
{
    GIVEN(f);
    int r = outcome(f, timeout_ms, e);
    if (r < 0)
        return r;
    if (f->code < 0)
        return err_set(e, f->code, "%s", error_text(f->error));
    if (ret_result)
        *ret_result = f->result;
    return 0;
}

int cfuture_exception(struct cfuture *f, int64_t timeout_ms, const struct error **ret_error,
                      struct err *e)
{
    GIVEN(f);
    GIVEN(ret_error);
    int r = outcome(f, timeout_ms, e);
    if (r == 0)
        *ret_error = f->error;
    return r;
}

int cfuture_add_done_callback(struct cfuture *f, cfuture_fn fn, void *arg)
{
    GIVEN(f);
    GIVEN(fn);
    struct listener *x = malloc(sizeof *x);
    if (!x)
        return -ENOMEM;
    x->fn = fn;
    x->arg = arg;
    x->next = atomic_load(&f->listeners);
    while (x->next != &told)
        if (atomic_compare_exchange_weak(&f->listeners, &x->next, x))
            return 0;
    free(x);
    fn(f, arg);
    return 0;
}

static void fail(struct cfuture *f, int code)
{
    (void)cfuture_set_exception(f, code, error_new(code, error_sentence(code), NULL));
}

/* The task has ended; or it never will: its loop was closed. */
static void on_task_end(struct watch *w)
{
    struct cfuture *f = CONTAINER_OF(w, struct cfuture, watch);
    struct future *t = w->future;
    f->task = NULL;
    t->looked_at = true;
    if (t->state == FUTURE_FINISHED)
        (void)cfuture_set_result(f, t->result);
    else if (t->state == FUTURE_FAILED)
        (void)cfuture_set_exception(f, t->code, error_ref(t->error));
    else if (t->state == FUTURE_CANCELLED)
        (void)settle_cancelled(f);
    else
        fail(f, ERROR_CLOSED);
    cfuture_unref(f);
}

static void drop_submission(struct loop_item *i)
{
    struct cfuture *f = CONTAINER_OF(i, struct cfuture, item);
    (void)settle_cancelled(f);
    cfuture_unref(f);
}

static void run_submission(struct loop_item *i)
{
    struct cfuture *f = CONTAINER_OF(i, struct cfuture, item);
    struct context *before = context_swap(f->context);
    int r = task_new(f->loop, f->fn, f->arg, f->name, &f->task);
    f->context = context_swap(before);
    if (r == 0) {
        f->watch = (struct watch){.done = on_task_end, .lost = on_task_end};
        future_watch(task_future(f->task), &f->watch);
        f->task->no_destroy_report = true;
        task_unref(f->task); /* the loop's own reference keeps it until it has ended */
        return;
    }
    fail(f, r);
    cfuture_unref(f);
}

static const struct loop_item_ops submission_ops = {run_submission, drop_submission};

struct cfuture *run_coroutine_threadsafe(struct loop *l, coro_fn fn, void *arg, const char *name)
{
    GIVEN(l);
    GIVEN(fn);
    struct cfuture *f = cfuture_new();
    if (!f)
        return NULL;
    f->fn = fn;
    f->arg = arg;
    f->loop = loop_ref(l);
    f->item.ops = &submission_ops;
    f->context = context_copy();
    int r = name && !(f->name = strdup(name)) ? -ENOMEM : 0;
    atomic_store(&f->refs, 2); /* the caller's, and the loop's from now on */
    if (r == 0)
        r = loop_post(l, &f->item);
    if (r == 0)
        return f;
    atomic_store(&f->refs, 1);
    cfuture_unref(f);
    errno = -r;
    return NULL;
}
