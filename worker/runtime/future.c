#include "worker/runtime/internal.h"

#include <errno.h>
#include <string.h>

struct callback { /* one registration of a done callback */
    struct loop_item item;
    future_fn fn;
    void *arg;
    struct future *future; /* borrowed while it waits, held once it is queued */
    struct context *context;
};

static void end_plain(struct future *f);
static const struct future_kind plain = {.lost_error = "Future exception was never retrieved",
                                         .end = end_plain};

static void drop_callback(struct loop_item *i)
{
    struct callback *c = CONTAINER_OF(i, struct callback, item);
    struct loop *l = c->future->loop;
    context_unref(c->context);
    recycle_put(&l->callbacks, c);
}

static void run_callback(struct loop_item *i)
{
    struct callback *c = CONTAINER_OF(i, struct callback, item);
    struct future *f = c->future;
    future_fn fn = c->fn;
    void *arg = c->arg;
    struct context *context = c->context, *before = context_swap(context);
    recycle_put(&f->loop->callbacks, c);
    fn(f, arg);
    context_unref(context_swap(before));
    future_unref(f);
}

static void drop_queued(struct loop_item *i)
{
    struct future *f = CONTAINER_OF(i, struct callback, item)->future;
    drop_callback(i);
    future_unref(f);
}

static const struct loop_item_ops callback_ops = {run_callback, drop_queued};

/* All that waits for a future but tasks, which hold it anyway. */
static bool needs_future(const struct loop_item *i)
{
    return i->ops == &callback_ops || i->ops == &watch_ops;
}

/* Before it was queued. */
static void drop_waiting(struct loop_item *i)
{
    if (i->ops == &callback_ops) {
        drop_callback(i);
    } else if (i->ops == &watch_ops) {
        struct watch *w = CONTAINER_OF(i, struct watch, item);
        w->lost(w);
    }
}

static void drop_callbacks(struct future *f)
{
    for (struct loop_item *i = queue_pop(&f->callbacks); i; i = queue_pop(&f->callbacks))
        drop_waiting(i);
}

void future_init(struct future *f, struct loop *l, const struct future_kind *kind)
{
    memset(f, 0, sizeof *f);
    f->refs = 1;
    f->loop = l;
    f->kind = kind;
    loop_hold(l);
}

struct future *loop_create_future(struct loop *l)
{
    loop_check_thread(l, __func__);
    struct future *f = recycle_get(&l->futures);
    if (f)
        future_init(f, l, &plain);
    return f;
}

struct future *future_ref(struct future *f)
{
    future_check(f, __func__);
    f->refs++;
    return f;
}

void future_unref(struct future *f)
{
    if (!f)
        return;
    loop_check_thread(f->loop, __func__);
    if (--f->refs == 0)
        f->kind->end(f);
}

static void report_lost_error(struct future *f)
{
    struct loop_report r = {
        .message = f->kind->lost_error, .code = f->code, .text = error_text(f->error), .future = f};
    f->refs++; /* the handler may share and drop it: that must not end it twice */
    loop_call_exception_handler(f->loop, &r);
    f->refs--;
}

void future_deinit(struct future *f)
{
    if (f->state == FUTURE_FAILED) {
        if (!f->looked_at)
            report_lost_error(f);
        error_unref(f->error);
    } else if (f->state == FUTURE_CANCELLED) {
        error_unref(f->error);
    } else if (f->state == FUTURE_FINISHED && f->free_result) {
        f->free_result(f->result);
    }
    drop_callbacks(f);
}

static void end_plain(struct future *f)
{
    struct loop *l = f->loop;
    future_deinit(f);
    recycle_put(&l->futures, f);
    loop_release(l);
}

struct loop *future_loop(const struct future *f)
{
    GIVEN(f);
    return f->loop;
}

bool future_done(const struct future *f)
{
    future_check(f, __func__);
    return f->state != FUTURE_PENDING;
}

bool future_cancelled(const struct future *f)
{
    future_check(f, __func__);
    return f->state == FUTURE_CANCELLED;
}

int future_code(const struct future *f)
{
    future_check(f, __func__);
    return f->state == FUTURE_CANCELLED ? -ECANCELED : f->code;
}

/* Queues what waited, in order: the list is spliced as it is. */
static void queue_callbacks(struct future *f)
{
    struct queue *ready = &f->loop->ready;
    struct loop_item *first = f->callbacks.head;
    if (!first)
        return;
    for (struct loop_item *i = first; i; i = i->next)
        if (needs_future(i))
            future_ref(f);
    if (ready->head)
        ready->tail->next = first;
    else
        ready->head = first;
    ready->tail = f->callbacks.tail;
    f->callbacks.head = NULL;
}

void future_finish(struct future *f, enum future_state state, int code, void *value)
{
    f->state = (unsigned char)state;
    f->looked_at = false; /* whoever asked to cancel before has not seen this error */
    f->code = code;
    f->result = value;
    if (loop_is_closed(f->loop))
        drop_callbacks(f);
    else
        queue_callbacks(f);
}

static int check_settable(const struct future *f)
{
    if (f->kind->completes_itself)
        return ERROR_RUNTIME;
    return f->state == FUTURE_PENDING ? 0 : ERROR_INVALID_STATE;
}

int future_set_result(struct future *f, void *result)
{
    future_check(f, __func__);
    int r = check_settable(f);
    if (r == 0)
        future_finish(f, FUTURE_FINISHED, 0, result);
    return r;
}

int future_set_exception(struct future *f, struct error *x)
{
    future_check(f, __func__);
    if (x)
        error_check_code(error_code(x), __func__);
    int r = x ? check_settable(f) : ERROR_TYPE;
    if (r == 0)
        future_finish(f, FUTURE_FAILED, error_code(x), x);
    else
        error_unref(x);
    return r;
}

int future_set_error(struct future *f, int code, const char *fmt, ...)
{
    future_check(f, __func__);
    error_check_code(code, __func__);
    GIVEN(fmt);
    struct err e;
    va_list args;
    int r = check_settable(f);
    if (r < 0)
        return r;
    va_start(args, fmt);
    (void)error_format(&e, code, fmt, &args);
    va_end(args);
    future_finish(f, FUTURE_FAILED, code, error_new(code, e.text, NULL));
    return 0;
}

void future_own_result(struct future *f, void (*free_result)(void *result))
{
    future_check(f, __func__);
    if (f->kind->keeps_result)
        error_fatal("future_own_result: what a gather or a shield gives is not the caller's");
    f->free_result = free_result;
}

bool future_cancel(struct future *f)
{
    future_check(f, __func__);
    if (f->kind->cancel)
        return f->kind->cancel(f);
    f->looked_at = true;
    if (f->state != FUTURE_PENDING)
        return false;
    future_finish(f, FUTURE_CANCELLED, 0, error_ref(f->loop->why));
    return true;
}

bool future_cancel_because(struct future *f, const char *why)
{
    GIVEN(why);
    future_check(f, __func__);
    struct loop *l = loop_ref(f->loop);
    l->why = error_new(-ECANCELED, why, NULL);
    bool asked = future_cancel(f);
    error_unref(l->why);
    l->why = NULL;
    loop_unref(l);
    return asked;
}

static int outcome(struct future *f, struct err *e)
{
    switch (f->state) {
    case FUTURE_PENDING:
        return err_set(e, ERROR_INVALID_STATE, "Result is not set.");
    case FUTURE_CANCELLED:
        return err_set(e, -ECANCELED, "%s", error_text(f->error));
    default:
        f->looked_at = true;
        return 0;
    }
}

int future_result(struct future *f, void **ret_result, struct err *e)
{
    future_check(f, __func__);
    int r = outcome(f, e);
    if (r < 0)
        return r;
    if (f->state == FUTURE_FAILED)
        return err_set(e, f->code, "%s", error_text(f->error));
    if (ret_result)
        *ret_result = f->result;
    return 0;
}

int future_exception(struct future *f, const struct error **ret_error, struct err *e)
{
    future_check(f, __func__);
    GIVEN(ret_error);
    int r = outcome(f, e);
    if (r == 0)
        *ret_error = f->state == FUTURE_FAILED ? f->error : NULL;
    return r;
}

int future_add_done_callback(struct future *f, future_fn fn, void *arg)
{
    future_check(f, __func__);
    GIVEN(fn);
    struct loop *l = f->loop;
    if (loop_is_closed(l))
        return ERROR_CLOSED;
    struct callback *c = recycle_get(&l->callbacks);
    if (!c)
        return -ENOMEM;
    c->item.ops = &callback_ops;
    c->fn = fn;
    c->arg = arg;
    c->future = f;
    c->context = context_copy();
    queue_push(&f->callbacks, &c->item);
    if (f->state != FUTURE_PENDING)
        queue_callbacks(f);
    return 0;
}

/* Takes `i` out of the list behind `before` (NULL: it is the first). */
static void unlink_after(struct queue *q, struct loop_item *before, struct loop_item *i)
{
    if (before)
        before->next = i->next;
    else
        q->head = i->next;
    if (q->tail == i)
        q->tail = before;
}

bool future_unlink(struct future *f, struct loop_item *i)
{
    struct loop_item *before = NULL;
    for (struct loop_item *x = f->callbacks.head; x; before = x, x = x->next)
        if (x == i) {
            unlink_after(&f->callbacks, before, i);
            return true;
        }
    return false;
}

int future_remove_done_callback(struct future *f, future_fn fn, void *arg)
{
    future_check(f, __func__);
    struct loop_item *before = NULL;
    int removed = 0;
    for (struct loop_item *i = f->callbacks.head, *next; i; i = next) {
        struct callback *c = CONTAINER_OF(i, struct callback, item);
        next = i->next;
        if (i->ops == &callback_ops && c->fn == fn && c->arg == arg) {
            unlink_after(&f->callbacks, before, i);
            drop_callback(i);
            removed++;
        } else {
            before = i;
        }
    }
    return removed;
}

int future_await(struct future *f, void **ret_result, struct err *e)
{
    future_check(f, __func__);
    if (f->state == FUTURE_PENDING) {
        struct task *t = task_here();
        if (!t)
            return error_set(e, ERROR_NO_TASK);
        if (t->future.loop != f->loop)
            return error_set(e, ERROR_OTHER_LOOP);
        if (&t->future == f)
            return error_set(e, ERROR_AWAITS_ITSELF);
        t->waiting = future_ref(f);
        queue_push(&f->callbacks, &t->turn);
        task_wait(t);
        if (t->thrown) {
            const struct error *why = f->state == FUTURE_CANCELLED ? f->error : t->why;
            f->looked_at = true;
            (void)err_set(e, -ECANCELED, "%s", error_text(why));
            future_unref(f);
            return -ECANCELED;
        }
        int r = future_result(f, ret_result, e);
        future_unref(f);
        return r;
    }
    return future_result(f, ret_result, e);
}
