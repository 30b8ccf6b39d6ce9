#include "worker/runtime/run.h"

#include <errno.h>

#include "worker/runtime/internal.h"

struct ending { /* tasks that were cancelled at the end, and how many still clean up */
    struct task **tasks;
    size_t count, left;
    struct future *over;
};

static void on_task_end(struct future *f, void *arg)
{
    struct ending *x = arg;
    f->looked_at = true; /* reported below */
    if (--x->left == 0)
        (void)future_set_result(x->over, NULL);
}

static void report_errors(struct loop *l, const struct ending *x)
{
    for (size_t i = 0; i < x->count; i++) {
        struct future *f = task_future(x->tasks[i]);
        struct loop_report r = {.message = "unhandled exception during run() shutdown",
                                .future = f};
        if (f->state != FUTURE_FAILED)
            continue;
        r.code = f->code;
        r.text = error_text(f->error);
        loop_call_exception_handler(l, &r);
    }
}

static int wait_for_all(struct loop *l, struct ending *x, struct err *e)
{
    int r = 0;
    x->over = loop_create_future(l);
    if (!x->over)
        return error_set(e, -ENOMEM);
    x->left = x->count;
    for (size_t i = 0; i < x->count && r == 0; i++) {
        (void)task_cancel(x->tasks[i]);
        r = future_add_done_callback(task_future(x->tasks[i]), on_task_end, x);
    }
    r = r < 0 ? error_set(e, r) : loop_run_until_complete(l, x->over, NULL, e);
    for (size_t i = 0; i < x->count; i++)
        (void)future_remove_done_callback(task_future(x->tasks[i]), on_task_end, x);
    future_unref(x->over);
    return r;
}

static int cancel_all(struct loop *l, struct err *e)
{
    struct ending x = {.count = 0};
    int r = task_all(l, &x.tasks, &x.count);
    if (r < 0)
        return error_set(e, r);
    if (x.count > 0)
        r = wait_for_all(l, &x, e);
    if (r == 0)
        report_errors(l, &x);
    task_all_free(x.tasks, x.count);
    return r;
}

static int shut_down_parts(void *arg, void **ret_result, struct err *e)
{
    struct loop *l = arg;
    int r = 0;
    (void)ret_result;
    for (struct loop_part *p = l->parts; p && r == 0; p = p->next)
        r = p->shutdown(p, e);
    return r;
}

int run_teardown(struct loop *l, struct err *e)
{
    GIVEN(l);
    if (loop_is_running(l) || loop_running())
        return error_set(e, loop_is_running(l) ? ERROR_RUNNING : ERROR_OTHER_RUNNING);
    int r = cancel_all(l, e);
    if (r == 0 && l->parts)
        r = loop_run_coroutine(l, shut_down_parts, l, NULL, e);
    return r;
}

int run(coro_fn fn, void *arg, void **ret_result, struct err *e)
{
    GIVEN(fn);
    if (loop_running())
        return error_set(e, ERROR_NESTED_RUN);
    struct loop *l = loop_new(0);
    struct err late;
    if (!l)
        return error_set(e, -errno);
    int r = loop_run_coroutine(l, fn, arg, ret_result, e);
    int s = run_teardown(l, &late);
    (void)loop_free(l);
    if (r < 0 || s == 0)
        return r;
    if (e)
        *e = late;
    return s;
}
