/* conf_run.c - scenarios of the area "run". */
#include <errno.h>
#include <string.h>

#include "tests/asyncio/conf.h"

struct enters {
    const char *name;
    int naps;
};

static int enter(void *arg, void **ret_result, struct err *e)
{
    const struct enters *x = arg;
    (void)ret_result, (void)e;
    tout("enter %s", x->name);
    tout("1 in %s", x->name);
    int r = nap(x->naps);
    if (r == 0)
        tout("%s end", x->name);
    return r;
}

static int quick(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)ret_result, (void)e;
    tout("quick 1");
    tout("quick 2");
    return 0;
}

static int variant_main(void *arg, void **ret_result, struct err *e)
{
    static struct enters t1 = {"t1", 3}, t2 = {"t2", 5};
    char variant = *(const char *)arg;
    (void)ret_result, (void)e;
    tout("=== 1");
    struct task *a = need(task_create(enter, &t1, NULL));
    tout("=== 2");
    must(task_spawn(quick, NULL, NULL));
    struct task *b = need(task_create(enter, &t2, NULL));
    if (variant == 'B' || variant == 'C')
        must(task_await(a, NULL, NULL));
    tout("=== 3");
    if (variant == 'C')
        must(task_await(b, NULL, NULL));
    if (variant == 'D')
        must(nap(6));
    task_unref(a), task_unref(b);
    return 0;
}

static void create_task_unawaited(void)
{
    for (char v = 'A'; v <= 'D'; v++) {
        start_clock();
        must(run(variant_main, &v, NULL, NULL));
        tout("variant %c over", v);
    }
}

struct box {
    struct loop *loop; /* shared */
    struct task *task, *other;
};

static int leftover(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)ret_result, (void)e;
    tout("leftover starts");
    int r = nap(5);
    tout(r == 0 ? "leftover ends" : "leftover cancelled");
    return r;
}

static int leftovers_main(void *arg, void **ret_result, struct err *e)
{
    struct box *box = arg;
    (void)e;
    box->loop = loop_ref(loop_running());
    box->task = need(task_create(leftover, NULL, NULL));
    must(nap(1));
    tout("main ends");
    *ret_result = BOX(123);
    return 0;
}

static void run_cancels_leftovers(void)
{
    struct box box;
    void *v;
    start_clock();
    must(run(leftovers_main, &box, &v, NULL));
    tout("run returned %d", NUMBER(v));
    out("done: %s cancelled: %s", yes(task_done(box.task)), yes(task_cancelled(box.task)));
    out("loop closed: %s", yes(loop_is_closed(box.loop)));
    task_unref(box.task);
    loop_unref(box.loop);
}

static int hello_main(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)ret_result, (void)e;
    tout("Hello ...");
    must(nap(1));
    tout("... World!");
    return 0;
}

static void run_hello(void)
{
    void *v;
    start_clock();
    must(run(hello_main, NULL, &v, NULL));
    tout("run returned %s", v ? "something" : "none");
}

static int helper(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)ret_result, (void)e;
    int r = nap(9);
    if (r == -ECANCELED) {
        tout("helper cancelled");
        must(nap(1));
        tout("helper gone");
    }
    return r;
}

static int raising_main(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)ret_result;
    must(task_spawn(helper, NULL, NULL));
    must(nap(1));
    tout("main raises");
    return err_set(e, -EINVAL, "spam");
}

static void run_main_raises(void)
{
    struct err e;
    start_clock();
    if (run(raising_main, NULL, NULL, &e) < 0)
        tout("run raised %s", show(&e));
}

static int other(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)ret_result, (void)e;
    out("other ran");
    return 0;
}

static int nested_main(void *arg, void **ret_result, struct err *ret_err)
{
    struct err e;
    (void)arg, (void)ret_result, (void)ret_err;
    start_clock();
    struct loop *l = loop_running(), *second = need(loop_new(0));
    if (run(other, NULL, NULL, &e) < 0)
        out("1 %s %s", error_kind(e.code), strstr(e.text, "() ") + 3);
    if (loop_run_coroutine(l, other, NULL, NULL, &e) < 0)
        out("2 %s", show(&e));
    if (loop_run_coroutine(second, other, NULL, NULL, &e) < 0)
        out("3 %s", show(&e));
    loop_free(second);
    if (loop_close(l, &e) < 0)
        out("4 %s", show(&e));
    must(nap(1));
    tout("still fine");
    return 0;
}

static void run_nested_error(void)
{
    must(run(nested_main, NULL, NULL, NULL));
}

struct guard {
    const char *name;
    int naps;
};

static int guard(void *arg, void **ret_result, struct err *e)
{
    static int cleaning;
    const struct guard *x = arg;
    (void)ret_result, (void)e;
    int r = nap(9);
    if (r != -ECANCELED)
        return r;
    if (++cleaning == 2)
        tout("cleaning x y");
    must(nap(x->naps));
    tout("%s clean", x->name);
    return r;
}

static int cleanup_main(void *arg, void **ret_result, struct err *e)
{
    static struct guard x = {"x", 2}, y = {"y", 3};
    struct box *box = arg;
    (void)ret_result, (void)e;
    box->task = need(task_create(guard, &x, NULL));
    must(nap(1));
    box->other = need(task_create(guard, &y, NULL));
    must(nap(1));
    tout("main ends");
    return 0;
}

static void run_teardown_cleanup(void)
{
    struct box box;
    start_clock();
    must(run(cleanup_main, &box, NULL, NULL));
    tout("run returned; cancelled: %s %s", yes(task_cancelled(box.task)),
         yes(task_cancelled(box.other)));
    task_unref(box.task), task_unref(box.other);
}

static int bad(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)ret_result;
    int r = nap(9);
    if (r != -ECANCELED)
        return r;
    tout("bad is cancelled");
    return err_set(e, ERROR_ZERO_DIVISION, "division by zero");
}

static int say_report(struct loop *l, const struct loop_report *r, void *arg, struct err *e)
{
    (void)l, (void)arg, (void)e;
    tout("handler: %s | %s", r->message, show_code(r->code, r->text));
    return 0;
}

static int report_main(void *arg, void **ret_result, struct err *e)
{
    struct box *box = arg;
    (void)e;
    loop_set_exception_handler(loop_running(), say_report, NULL);
    box->task = need(task_create(bad, NULL, NULL));
    must(nap(1));
    *ret_result = BOX("main value");
    return 0;
}

static void run_teardown_error_report(void)
{
    struct box box;
    void *v;
    start_clock();
    must(run(report_main, &box, &v, NULL));
    tout("run returned %s", TEXT(v));
    out("task cancelled: %s", yes(task_cancelled(box.task)));
    task_unref(box.task);
}

struct sum {
    int a, b;
};

static int add(void *arg, void **ret_result, struct err *e)
{
    const struct sum *s = arg;
    (void)e;
    must(nap(1));
    *ret_result = BOX(s->a + s->b);
    return 0;
}

static int fail(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)ret_result;
    must(nap(1));
    return err_set(e, -EINVAL, "boom");
}

static int sum_on(struct loop *l, int a, int b)
{
    struct sum s = {a, b};
    void *v;
    must(loop_run_coroutine(l, add, &s, &v, NULL));
    return NUMBER(v);
}

static int result_on(struct loop *l, struct task *t)
{
    void *v;
    must(loop_run_until_complete(l, task_future(t), &v, NULL));
    return NUMBER(v);
}

static void run_until_complete(void)
{
    struct err e;
    struct sum s = {10, 20};
    void *v;
    start_clock();
    struct loop *l = need(loop_new(0));
    int sum = sum_on(l, 2, 3);
    tout("coroutine: %d", sum);
    struct task *t = need(loop_create_task(l, add, &s, NULL));
    tout("task done before running: %s", yes(task_done(t)));
    sum = result_on(l, t);
    tout("task: %d", sum);
    if (loop_run_coroutine(l, fail, NULL, NULL, &e) < 0)
        tout("raised %s", show(&e));
    sum = sum_on(l, 1, 1);
    tout("still usable: %d", sum);
    sum = result_on(l, t);
    tout("finished task again: %d", sum);
    must(loop_close(l, NULL));
    out("closed: %s", yes(loop_is_closed(l)));
    must(task_result(t, &v, NULL));
    out("result after close: %d", NUMBER(v));
    task_unref(t);
    loop_free(l);
}

const struct scenario run_scenarios[] = {
    {"create-task-unawaited", create_task_unawaited},
    {"run-cancels-leftovers", run_cancels_leftovers},
    {"run-hello", run_hello},
    {"run-main-raises", run_main_raises},
    {"run-nested-error", run_nested_error},
    {"run-teardown-cleanup", run_teardown_cleanup},
    {"run-teardown-error-report", run_teardown_error_report},
    {"run-until-complete", run_until_complete},
    {NULL, NULL},
};
