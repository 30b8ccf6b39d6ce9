#include "worker/runtime/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "worker/runtime/waiters.h"

enum sleep_state { SLEEP_WAITING, SLEEP_OVER, SLEEP_CANCELLED };

struct sleep { /* on the sleeper's stack: a timer and what asyncio's future is to it */
    struct timer timer;
    struct task *task;
    enum sleep_state state;
};

static void run_turn(struct loop_item *i);
static bool cancel_future(struct future *f);
static void end_task(struct future *f);

static void drop_turn(struct loop_item *i)
{
    (void)i; /* the task itself is dropped with the loop's list of tasks */
}

static const struct loop_item_ops turn_ops = {run_turn, drop_turn};

struct task *task_of_turn(struct loop_item *i)
{
    return i->ops == &turn_ops ? CONTAINER_OF(i, struct task, turn) : NULL;
}

static const struct future_kind task_kind = {.lost_error = "Task exception was never retrieved",
                                             .cancel = cancel_future,
                                             .end = end_task,
                                             .completes_itself = true};

static void link_task(struct loop *l, struct task *t)
{
    t->prev = l->last_task;
    t->next = NULL;
    if (l->last_task)
        l->last_task->next = t;
    else
        l->first_task = t;
    l->last_task = t;
}

static void unlink_task(struct loop *l, struct task *t)
{
    if (t->prev)
        t->prev->next = t->next;
    else
        l->first_task = t->next;
    if (t->next)
        t->next->prev = t->prev;
    else
        l->last_task = t->prev;
}

int task_new(struct loop *l, coro_fn fn, void *arg, const char *name, struct task **ret_task)
{
    if (loop_is_closed(l))
        return ERROR_CLOSED;
    struct task *t = recycle_get(&l->tasks);
    if (!t)
        return -ENOMEM;
    memset((char *)t + sizeof t->future, 0, sizeof *t - sizeof t->future);
    if (name && !(t->name = strdup(name))) {
        recycle_put(&l->tasks, t);
        return -ENOMEM;
    }
    future_init(&t->future, l, &task_kind);
    t->turn.ops = &turn_ops;
    t->fn = fn;
    t->arg = arg;
    t->ctx.name = t->name;
    t->ctx.id = ++l->next_id;
    t->context = context_copy();
    t->future.refs = 2; /* the creator's, and the loop's until it has ended */
    link_task(l, t);
    queue_push(&l->ready, &t->turn);
    *ret_task = t;
    return 0;
}

struct task *loop_create_task(struct loop *l, coro_fn fn, void *arg, const char *name)
{
    GIVEN(fn);
    struct task *t = NULL;
    loop_check_thread(l, __func__);
    int r = task_new(l, fn, arg, name, &t);
    if (r < 0)
        errno = -r;
    return t;
}

struct task *task_create(coro_fn fn, void *arg, const char *name)
{
    struct loop *l = loop_running();
    return l ? loop_create_task(l, fn, arg, name) : NULL;
}

int task_spawn(coro_fn fn, void *arg, const char *name)
{
    struct task *t = task_create(fn, arg, name);
    if (!t)
        return -errno;
    task_unref(t);
    return 0;
}

struct task *task_wrap(struct coro *c, const char *name)
{
    GIVEN(c);
    coro_fn fn;
    void *arg;
    struct loop *l = loop_running();
    if (!l)
        return NULL;
    int r = coro_consume(c, &fn, &arg, NULL);
    if (r < 0) {
        errno = -r;
        return NULL;
    }
    return loop_create_task(l, fn, arg, name);
}

/* Completes the future; the rest of the end happens on the loop's stack (end_turn). */
static void task_main(struct coro_ctx *ctx)
{
    struct task *t = CONTAINER_OF(ctx, struct task, ctx);
    struct err e; /* cleared by hand: all of it would be 240 bytes a task */
    void *result = NULL;
    e.code = 0;
    e.text[0] = '\0';
    int code = t->fn(t->arg, &result, &e);
    struct loop *l = t->future.loop;
    if (t->must_cancel && code >= 0)
        code = error_set(&e, -ECANCELED); /* asked to cancel, then ended without another await */
    if (code < 0)
        l->end.err = e;
    l->end.code = code;
    l->end.result = code < 0 ? NULL : result;
}

/* The message with which it ends: what its body handed on, or what it was told. */
static struct error *last_words(const struct task *t, const struct err *e)
{
    return e->code == -ECANCELED && e->text[0] ? error_new(-ECANCELED, e->text, NULL)
                                               : error_ref(t->why);
}

static void complete(struct task *t, struct loop *l)
{
    struct future *f = &t->future;
    int code = l->end.code;
    unlink_task(l, t);
    if (code >= 0)
        future_finish(f, FUTURE_FINISHED, 0, l->end.result);
    else if (code == -ECANCELED)
        future_finish(f, FUTURE_CANCELLED, 0, last_words(t, &l->end.err));
    else
        future_finish(f, FUTURE_FAILED, code, error_new(code, l->end.err.text, NULL));
    if (t->ended)
        t->ended(t, t->ended_arg);
    future_unref(f);
}

static void release_stack(struct task *t)
{
    if (!t->ctx.stack)
        return;
    struct stack *s = t->ctx.stack;
    coro_ctx_deinit(&t->ctx);
    stack_put(t->future.loop->stacks, s);
}

/* The first turn: a stack is taken only now, and not at all by who was cancelled before. */
static bool begin(struct task *t, struct loop *l)
{
    struct stack *s = t->must_cancel ? NULL : stack_get(l->stacks);
    if (s) {
        coro_ctx_init(&t->ctx, s, task_main);
        return true;
    }
    l->end.code = error_set(&l->end.err, t->must_cancel ? -ECANCELED : -ENOMEM);
    l->end.result = NULL;
    complete(t, l);
    return false;
}

static void run_turn(struct loop_item *i)
{
    struct task *t = CONTAINER_OF(i, struct task, turn);
    struct loop *l = t->future.loop;
    if (!t->ctx.stack && !begin(t, l))
        return;
    t->thrown = t->must_cancel || (t->sleep && t->sleep->state == SLEEP_CANCELLED);
    t->must_cancel = false;
    t->waiting = NULL;
    t->sleep = NULL;
    struct context *before = context_current;
    context_current = t->context;
    l->current = t;
    coro_ctx_enter(&t->ctx);
    l->current = NULL;
    t->context = context_current;
    context_current = before;
    if (t->ctx.ended) {
        release_stack(t);
        complete(t, l);
    }
}

static void report_destroyed(struct task *t)
{
    struct loop_report r = {.message = "Task was destroyed but it is pending!",
                            .future = &t->future};
    t->future.refs++;
    loop_call_exception_handler(t->future.loop, &r);
    t->future.refs--;
}

static void end_task(struct future *f)
{
    struct task *t = CONTAINER_OF(f, struct task, future);
    struct loop *l = f->loop;
    if (f->state == FUTURE_PENDING) {
        if (!t->no_destroy_report)
            report_destroyed(t);
        if (t->waiting) { /* the reference of the await that never returns */
            (void)future_unlink(t->waiting, &t->turn);
            future_unref(t->waiting);
        }
        if (t->place)
            waiter_drop(t->place);
    }
    release_stack(t);
    future_deinit(f);
    context_unref(t->context);
    error_unref(t->why);
    free(t->name);
    recycle_put(&l->tasks, t);
    loop_release(l);
}

void task_drop_all(struct loop *l)
{
    while (l->first_task) {
        struct task *t = l->first_task;
        unlink_task(l, t);
        if (t->ended) {
            l->end.code = error_set(&l->end.err, ERROR_CLOSED);
            l->end.result = NULL;
            t->ended(t, t->ended_arg);
        }
        future_unref(&t->future);
    }
}

struct future *task_ensure(struct task *t)
{
    task_check(t, __func__);
    return future_ref(&t->future);
}

struct future *task_ensure_coro(struct coro *c)
{
    struct task *t = task_wrap(c, NULL);
    return t ? &t->future : NULL;
}

struct task *task_ref(struct task *t)
{
    task_check(t, __func__);
    t->future.refs++;
    return t;
}

void task_unref(struct task *t)
{
    if (t)
        future_unref(&t->future);
}

struct future *task_future(struct task *t)
{
    task_check(t, __func__);
    return &t->future;
}

struct task *task_of(struct future *f)
{
    GIVEN(f);
    return f->kind == &task_kind ? CONTAINER_OF(f, struct task, future) : NULL;
}

bool task_done(const struct task *t)
{
    task_check(t, __func__);
    return future_done(&t->future);
}

bool task_cancelled(const struct task *t)
{
    task_check(t, __func__);
    return future_cancelled(&t->future);
}

static void tell(struct task *t, struct error *why)
{
    error_unref(t->why);
    t->why = error_ref(why);
}

bool task_pass_cancel(struct task *t)
{
    struct loop *l = t->future.loop;
    l->why = t->why;
    bool passed = future_cancel(t->waiting);
    l->why = NULL;
    return passed;
}

/* What asyncio's cancel() of the future of sleep() does. */
static bool cancel_sleep(struct task *t)
{
    struct sleep *s = t->sleep;
    if (s->state != SLEEP_WAITING)
        return false;
    s->state = SLEEP_CANCELLED;
    timers_remove(&t->future.loop->timers, &s->timer);
    queue_push(&t->future.loop->ready, &t->turn);
    return true;
}

static struct task *awaited(const struct task *t)
{
    struct task *next = t->waiting ? task_of(t->waiting) : NULL;
    return next && next->future.state == FUTURE_PENDING ? next : NULL;
}

/* The task at the end of a chain of tasks that await each other, each of them asked to cancel: who
 * cancels may stand on a small stack, where a call for each link would not fit. *ret_circle: there
 * is no end, one of the circle. */
static struct task *ask_down_to_last(struct task *t, bool *ret_circle)
{
    struct task *behind = t, *next;
    *ret_circle = false;
    for (bool even = false;; even = !even) {
        t->cancel_requests++;
        next = awaited(t);
        if (!next || *ret_circle)
            return t;
        t = next;
        *ret_circle = t == behind;
        if (even)
            behind = awaited(behind);
    }
}

/* Nothing it awaits will ever end: its await does. */
static void break_circle(struct task *t)
{
    (void)future_unlink(t->waiting, &t->turn);
    t->must_cancel = true;
    queue_push(&t->future.loop->ready, &t->turn);
}

static bool cancel_future(struct future *f)
{
    f->looked_at = true;
    if (f->state != FUTURE_PENDING)
        return false;
    bool circle;
    struct task *t = ask_down_to_last(CONTAINER_OF(f, struct task, future), &circle);
    if (circle) {
        tell(t, f->loop->why);
        break_circle(t);
        return true;
    }
    if (t->waiting && future_cancel(t->waiting))
        return true;
    if (!t->sleep || t->sleep->state != SLEEP_CANCELLED)
        tell(t, f->loop->why); /* the first one is what it hears */
    if (t->sleep && cancel_sleep(t))
        return true;
    t->must_cancel = true; /* its turn is queued, or it runs: delivered at its next turn */
    return true;
}

bool task_cancel(struct task *t)
{
    task_check(t, __func__);
    return future_cancel(&t->future);
}

bool task_cancel_because(struct task *t, const char *why)
{
    task_check(t, __func__);
    return future_cancel_because(&t->future, why);
}

unsigned task_cancelling(const struct task *t)
{
    task_check(t, __func__);
    return t->cancel_requests;
}

unsigned task_uncancel(struct task *t)
{
    task_check(t, __func__);
    if (t->cancel_requests > 0)
        t->cancel_requests--;
    return t->cancel_requests;
}

int task_result(struct task *t, void **ret_result, struct err *e)
{
    task_check(t, __func__);
    return future_result(&t->future, ret_result, e);
}

int task_await(struct task *t, void **ret_result, struct err *e)
{
    task_check(t, __func__);
    return future_await(&t->future, ret_result, e);
}

/* The alarm went off: the sleeper's turn comes one iteration later, as a future's awaiter's would.
 */
static void run_alarm(struct loop_item *i)
{
    struct sleep *s = CONTAINER_OF(i, struct sleep, timer.item);
    if (s->state != SLEEP_WAITING)
        return;
    s->state = SLEEP_OVER;
    queue_push(&s->task->future.loop->ready, &s->task->turn);
}

static void drop_alarm(struct loop_item *i)
{
    (void)i; /* lies on the stack of a task that never goes on */
}

static const struct loop_item_ops alarm_ops = {run_alarm, drop_alarm};

static int sleep_until_ns(struct task *t, int64_t due_ns)
{
    struct loop *l = t->future.loop;
    struct sleep s = {.timer = {.item = {.ops = &alarm_ops}}, .task = t};
    int r = timers_add(&l->timers, &s.timer, due_ns);
    if (r < 0)
        return r;
    t->sleep = &s;
    if (t->must_cancel && cancel_sleep(t))
        t->must_cancel = false;
    task_wait(t);
    return t->thrown ? -ECANCELED : 0;
}

static int give_way(struct task *t)
{
    queue_push(&t->future.loop->ready, &t->turn);
    task_wait(t);
    return t->thrown ? -ECANCELED : 0;
}

int task_sleep(int64_t ms)
{
    struct task *t = task_here();
    if (!t)
        return ERROR_NO_TASK;
    return ms > 0 ? sleep_until_ns(t, clock_now_ns() + timer_ns(ms)) : give_way(t);
}

int task_sleep_until(int64_t deadline_ms)
{
    struct task *t = task_here();
    if (!t)
        return ERROR_NO_TASK;
    return sleep_until_ns(t, timer_ns(deadline_ms));
}
