#include "worker/runtime/internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/callout.h"
#include "common/clock.h"

#define STACKS_PER_SLAB 256

_Thread_local struct loop *loop_of_thread;
static atomic_uint_fast64_t loops; /* made so far */

static struct loop *destroy(struct loop *l)
{
    poll_close(l);
    if (l->wake_fd >= 0)
        (void)close(l->wake_fd);
    recycle_deinit(&l->tasks);
    recycle_deinit(&l->handles);
    recycle_deinit(&l->callbacks);
    recycle_deinit(&l->futures);
    timers_deinit(&l->timers);
    l->stacks = stack_pool_free(l->stacks);
    free(l);
    return NULL;
}

struct loop *loop_new(size_t stack_bytes)
{
    struct loop *l = calloc(1, sizeof *l);
    if (!l)
        return NULL;
    l->wake_fd = -1;
    atomic_init(&l->refs, 1);
    l->number = atomic_fetch_add(&loops, 1) + 1;
    recycle_init(&l->tasks, sizeof(struct task));
    recycle_init(&l->handles, sizeof(struct handle));
    recycle_init(&l->futures, sizeof(struct future));
    recycle_init(&l->callbacks, 64);
    l->stacks = stack_pool_new(stack_bytes ? stack_bytes : STACK_BYTES, STACKS_PER_SLAB);
    int r = l->stacks ? poll_open(l) : -ENOMEM;
    if (r == 0)
        return l;
    (void)destroy(l);
    errno = -r;
    return NULL;
}

struct loop *loop_ref(struct loop *l)
{
    GIVEN(l);
    atomic_fetch_add_explicit(&l->refs, 1, memory_order_relaxed);
    return l;
}

void loop_unref(struct loop *l)
{
    if (l && atomic_fetch_sub_explicit(&l->refs, 1, memory_order_acq_rel) == 1)
        (void)destroy(l);
}

struct loop *loop_free(struct loop *l)
{
    struct err e;
    if (l && loop_close(l, &e) < 0)
        error_fatal("loop_free: %s", e.text);
    loop_unref(l);
    return NULL;
}

void loop_hold(struct loop *l)
{
    if (l->objects++ == 0)
        (void)loop_ref(l);
}

void loop_release(struct loop *l)
{
    if (--l->objects == 0)
        loop_unref(l);
}

bool loop_is_closed(const struct loop *l)
{
    GIVEN(l);
    return atomic_load_explicit(&l->closed, memory_order_acquire);
}

bool loop_is_running(const struct loop *l)
{
    GIVEN(l);
    return atomic_load_explicit(&l->running, memory_order_relaxed);
}

struct loop *loop_running(void)
{
    if (!loop_of_thread)
        errno = -ERROR_NO_LOOP;
    return loop_of_thread;
}

struct task *task_current(void)
{
    return task_here();
}

void loop_check_other(const struct loop *l, const char *who)
{
    if (!l)
        error_not_given(who, "the loop");
    if (loop_is_running(l))
        error_fatal("%s: called from another thread than the loop's; use loop_call_soon_threadsafe",
                    who);
}

struct ev_loop *loop_ev(struct loop *l)
{
    loop_check_thread(l, __func__);
    return l->ev;
}

int64_t loop_time_ms(const struct loop *l)
{
    (void)l;
    return clock_now_ms();
}

static void drop_ready(struct loop *l)
{
    for (struct loop_item *i = queue_pop(&l->ready); i; i = queue_pop(&l->ready))
        i->ops->drop(i);
    for (struct timer *t = timers_pop(&l->timers); t; t = timers_pop(&l->timers))
        t->item.ops->drop(&t->item);
}

int loop_close(struct loop *l, struct err *e)
{
    GIVEN(l);
    if (loop_is_running(l))
        return error_set(e, ERROR_CLOSE_RUNNING);
    if (atomic_exchange(&l->closed, true))
        return 0;
    inbox_close(l);
    drop_ready(l);
    task_drop_all(l);
    while (l->parts) {
        struct loop_part *p = l->parts;
        l->parts = p->next;
        p->close(p);
    }
    poll_close(l);
    return 0;
}

void loop_add_part(struct loop *l, struct loop_part *p)
{
    loop_check_thread(l, __func__);
    GIVEN(p);
    if (loop_is_closed(l))
        error_fatal("loop_add_part: the loop is closed");
    for (const struct loop_part *x = l->parts; x; x = x->next)
        if (x == p)
            error_fatal("loop_add_part: the loop has this part already");
    p->next = l->parts;
    l->parts = p;
}

void loop_stop(struct loop *l)
{
    loop_check_thread(l, __func__);
    l->stopping = true;
}

void loop_interrupt(struct loop *l, int code)
{
    error_check_code(code, __func__);
    loop_check_thread(l, __func__);
    l->interrupt = code;
}

static void report_raised(struct loop *l)
{
    struct err e = l->raise;
    struct loop_report r = {
        .message = "Unhandled exception in callback", .code = e.code, .text = e.text};
    l->raised = false;
    loop_call_exception_handler(l, &r);
}

static void queue_due(struct loop *l)
{
    int64_t now = clock_now_ns();
    for (struct timer *t = timers_pop_due(&l->timers, now); t; t = timers_pop_due(&l->timers, now))
        queue_push(&l->ready, &t->item);
}

struct slow { /* what kept the loop too long */
    char text[128];
    struct task *task; /* NULL: a callback */
    int64_t ns;
};

static void format_slow(void *arg)
{
    struct slow *s = arg;
    (void)snprintf(s->text, sizeof s->text, "Executing %.64s took %.3f seconds",
                   s->task ? task_name(s->task) : "a callback", (double)s->ns / 1e9);
}

static void run_timed(struct loop *l, struct loop_item *i)
{
    struct slow s = {.task = task_of_turn(i)};
    if (s.task)
        (void)task_ref(s.task);
    int64_t begin = clock_now_ns();
    i->ops->run(i);
    s.ns = clock_now_ns() - begin;
    if (l->slow_ns && s.ns >= l->slow_ns) {
        format_slow(&s);
        struct loop_report r = {.message = s.text, .future = s.task ? task_future(s.task) : NULL};
        loop_call_exception_handler(l, &r);
    }
    task_unref(s.task);
}

void loop_set_debug(struct loop *l, int64_t slow_ms)
{
    loop_check_thread(l, __func__);
    l->slow_ns = slow_ms > 0 ? timer_ns(slow_ms) : 0;
}

static void run_ready(struct loop *l)
{
    struct loop_item *i, *last = l->ready.head ? l->ready.tail : NULL;
    bool more = last != NULL;
    while (more && l->interrupt == 0) {
        i = queue_pop(&l->ready);
        more = i != last;
        if (l->budget > 0)
            l->budget--;
        if (__builtin_expect(l->slow_ns != 0, 0))
            run_timed(l, i);
        else
            i->ops->run(i);
        if (__builtin_expect(l->raised, 0))
            report_raised(l);
    }
}

static void run_once(struct loop *l)
{
    (void)inbox_take(l);
    if (l->ready.head || l->stopping) {
        poll_now(l);
    } else {
        poll_wait(l);
        (void)inbox_take(l);
    }
    if (!timers_empty(&l->timers))
        queue_due(l);
    run_ready(l);
}

static int check_runnable(const struct loop *l, struct err *e)
{
    if (loop_is_closed(l))
        return error_set(e, ERROR_CLOSED);
    if (loop_is_running(l))
        return error_set(e, ERROR_RUNNING);
    return loop_of_thread ? error_set(e, ERROR_OTHER_RUNNING) : 0;
}

int loop_run_forever(struct loop *l, struct err *e)
{
    GIVEN(l);
    int r = check_runnable(l, e);
    if (r < 0)
        return r;
    coro_thread_init();
    if (atomic_exchange(&l->running, true))
        return error_set(e, ERROR_RUNNING); /* another thread was quicker */
    loop_of_thread = l;
    running_add(l);
    do {
        run_once(l);
    } while (!l->stopping && l->interrupt == 0);
    l->stopping = false;
    r = l->interrupt;
    l->interrupt = 0;
    running_remove(l);
    atomic_store(&l->running, false);
    loop_of_thread = NULL;
    return r < 0 ? error_set(e, r) : 0;
}

static void stop_when_done(struct future *f, void *arg)
{
    (void)f;
    loop_stop(arg);
}

int loop_run_until_complete(struct loop *l, struct future *f, void **ret_result, struct err *e)
{
    GIVEN(l);
    GIVEN(f);
    int r = check_runnable(l, e);
    if (r == 0 && f->loop != l)
        r = error_set(e, ERROR_OTHER_LOOP);
    if (r == 0 && (r = future_add_done_callback(f, stop_when_done, l)) < 0)
        (void)error_set(e, r);
    if (r < 0)
        return r;
    (void)future_ref(f);
    r = loop_run_forever(l, e);
    (void)future_remove_done_callback(f, stop_when_done, l);
    if (r == 0)
        r = future_done(f) ? future_result(f, ret_result, e) : error_set(e, ERROR_STOPPED);
    future_unref(f);
    return r;
}

int loop_run_coroutine(struct loop *l, coro_fn fn, void *arg, void **ret_result, struct err *e)
{
    GIVEN(l);
    GIVEN(fn);
    struct task *t;
    int r = check_runnable(l, e);
    if (r < 0)
        return r;
    r = task_new(l, fn, arg, NULL, &t);
    if (r < 0)
        return error_set(e, r);
    t->no_destroy_report = true;
    r = loop_run_until_complete(l, &t->future, ret_result, e);
    t->future.looked_at = true; /* where an interrupt came first, nobody else can look at it */
    task_unref(t);
    return r;
}

void loop_set_exception_handler(struct loop *l, loop_exception_fn fn, void *arg)
{
    loop_check_thread(l, __func__);
    l->on_exception = fn;
    l->on_exception_arg = arg;
}

static void print_report(void *arg)
{
    const struct loop_report *r = arg;
    struct task *t = r->future ? task_of(r->future) : NULL;
    (void)fprintf(stderr, "%s", r->message ? r->message : "Unhandled error");
    if (t)
        (void)fprintf(stderr, " (%s)", task_name(t));
    if (r->code)
        (void)fprintf(stderr, ": %s: %s", error_kind(r->code), r->text ? r->text : "");
    (void)fputc('\n', stderr);
}

void loop_default_exception_handler(struct loop *l, const struct loop_report *r)
{
    GIVEN(r);
    struct loop_report copy = *r;
    (void)l;
    callout(print_report, &copy);
}

void loop_call_exception_handler(struct loop *l, const struct loop_report *r)
{
    GIVEN(r);
    loop_check_thread(l, __func__);
    struct err e = {.code = 0};
    int code = 0;
    if (l->on_exception)
        code = l->on_exception(l, r, l->on_exception_arg, &e);
    else
        loop_default_exception_handler(l, r);
    if (code == 0)
        return;
    struct loop_report failed = {
        .message = "Unhandled error in exception handler", .code = code, .text = e.text};
    loop_default_exception_handler(l, &failed);
}

int loop_raise(int code, const char *fmt, ...)
{
    GIVEN(fmt);
    error_check_code(code, __func__);
    struct loop *l = loop_of_thread;
    va_list args;
    if (!l)
        return code;
    va_start(args, fmt);
    (void)error_format(&l->raise, code, fmt, &args);
    va_end(args);
    l->raised = true;
    return code;
}
