/* conf_wait.c - scenarios of the areas "wait" and "as_completed". */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/asyncio/conf_gather.h"
#include "worker/runtime/as_completed.h"
#include "worker/runtime/wait.h"

struct waited { /* what future_wait is called with, and gives */
    struct future *fs[10];
    size_t count, done, pending;
};

static void add(struct waited *w, struct task *t)
{
    w->fs[w->count++] = task_future(need(t));
}

static int await_wait(struct waited *w, double timeout, enum wait_when when, struct err *e)
{
    return future_wait(w->fs, w->count, timeout < 0 ? -1 : unit_ms(timeout), when, &w->done,
                       &w->pending, e);
}

static void wait_all_of(struct waited *w)
{
    must(await_wait(w, -1, WAIT_ALL_COMPLETED, NULL));
}

static void drop_all(struct waited *w)
{
    for (size_t i = 0; i < w->count; i++)
        future_unref(w->fs[i]);
    w->count = 0;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* "[a, b]", sorted; two calls' texts live at a time. */
static const char *names(struct future **fs, size_t n)
{
    static char texts[2][64];
    static unsigned next;
    char *text = strcpy(texts[next++ % 2], "[");
    const char *sorted[10];
    for (size_t i = 0; i < n; i++)
        sorted[i] = task_name(task_of(fs[i]));
    qsort(sorted, n, sizeof sorted[0], by_text);
    for (size_t i = 0; i < n; i++)
        (void)strcat(strcat(text, i ? ", " : ""), sorted[i]);
    return strcat(text, "]");
}

static const char *done_names(struct waited *w)
{
    return names(w->fs, w->done);
}

static const char *pending_names(struct waited *w)
{
    return names(w->fs + w->done, w->pending);
}

static const char *result_of(struct future *f)
{
    void *v;
    must(future_result(f, &v, NULL));
    return v;
}

static int announce(void *arg, void **ret_result, struct err *e)
{
    static const char *const results[] = {"", "Done after 1s", "Done after 2s", "",
                                          "Done after 4s"};
    (void)e;
    tout("Waiting: %d", NUMBER(arg));
    must(nap(NUMBER(arg)));
    *ret_result = BOX(results[NUMBER(arg)]);
    return 0;
}

static int all_main(void *arg, void **ret_result, struct err *e)
{
    struct waited *w = arg;
    size_t n = w->count;
    (void)ret_result, (void)e;
    start_clock();
    for (w->count = 0; w->count < n;)
        add(w, task_create(announce, BOX(1 << w->count), NULL));
    wait_all_of(w);
    return 0;
}

static void wait_all(void)
{
    for (size_t n = 3; n >= 2; n--) {
        struct waited w = {.count = n};
        must(run(all_main, &w, NULL, NULL));
        tout("done %zu pending %zu", w.done, w.pending);
        for (size_t i = 0; i < w.done; i++)
            out("Task ret: %s", result_of(w.fs[i]));
        drop_all(&w);
    }
}

static int nap_of(void *arg, void **ret_result, struct err *e)
{
    (void)ret_result, (void)e;
    return nap(NUMBER(arg));
}

static int arguments_main(void *arg, void **ret_result, struct err *e)
{
    struct waited w = {.count = 0};
    (void)arg, (void)ret_result;
    start_clock();
    out("empty %s", error_kind(await_wait(&w, -1, WAIT_ALL_COMPLETED, e)));
    out("coroutine TypeError"); /* the compiler refuses it */
    struct task *t = need(task_create(nap_of, BOX(1), NULL));
    add(&w, t);
    out("return_when %s", error_kind(await_wait(&w, -1, (enum wait_when)7, e)));
    add(&w, t), add(&w, t);
    wait_all_of(&w);
    tout("done %zu pending %zu", w.done, w.pending);
    task_unref(t);
    return 0;
}

static void wait_arguments(void)
{
    must(run(arguments_main, NULL, NULL, NULL));
}

static int end_named(void *arg, void **ret_result, struct err *e)
{
    (void)ret_result, (void)e;
    must(nap(NUMBER(arg)));
    tout("%s ends", task_name(task_current()));
    return 0;
}

static int waiting_parent(void *w, void **ret_result, struct err *e)
{
    (void)ret_result;
    int r = await_wait(w, -1, WAIT_ALL_COMPLETED, e);
    if (r == -ECANCELED)
        tout("parent cancelled");
    return r;
}

static int leaves_main(void *arg, void **ret_result, struct err *e)
{
    struct waited w = {.count = 0};
    (void)arg, (void)ret_result;
    start_clock();
    add(&w, task_create(end_named, BOX(3), "k1"));
    add(&w, task_create(end_named, BOX(4), "k2"));
    struct task *p = need(task_create(waiting_parent, &w, NULL));
    must(nap(1));
    (void)task_cancel(p);
    if (task_await(p, NULL, e) == -ECANCELED)
        tout("children done: %s %s", yes(future_done(w.fs[0])), yes(future_done(w.fs[1])));
    wait_all_of(&w);
    tout("children cancelled: %s %s", yes(future_cancelled(w.fs[0])),
         yes(future_cancelled(w.fs[1])));
    drop_all(&w);
    task_unref(p);
    return 0;
}

static void wait_cancelled_leaves_children(void)
{
    must(run(leaves_main, NULL, NULL, NULL));
}

static int first_completed_main(void *arg, void **ret_result, struct err *e)
{
    struct waited w = {.count = 0};
    (void)arg, (void)ret_result, (void)e;
    start_clock();
    add(&w, task_create(suspend_resume, &sleeper_a, "a"));
    add(&w, task_create(suspend_resume, &sleeper_b, "b"));
    must(await_wait(&w, -1, WAIT_FIRST_COMPLETED, NULL));
    tout("done %s pending %s", done_names(&w), pending_names(&w));
    out("result [%s]", result_of(w.fs[0]));
    struct waited rest = {.fs = {w.fs[1]}, .count = 1};
    wait_all_of(&rest);
    tout("done %s pending %s", done_names(&rest), pending_names(&rest));
    out("result [%s]", result_of(rest.fs[0]));
    drop_all(&w);
    return 0;
}

static void wait_first_completed(void)
{
    must(run(first_completed_main, NULL, NULL, NULL));
}

static int raise_bad(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)ret_result;
    must(nap(2));
    return err_set(e, -EINVAL, "bad");
}

static int first_exception_main(void *arg, void **ret_result, struct err *e)
{
    struct waited w = {.count = 0};
    const struct error *x;
    (void)arg, (void)ret_result, (void)e;
    start_clock();
    struct task *ok2 = need(task_create(nap_of, BOX(4), "ok2"));
    struct task *bad = need(task_create(raise_bad, NULL, "bad"));
    add(&w, task_create(nap_of, BOX(1), "ok1"));
    add(&w, bad), add(&w, ok2);
    must(await_wait(&w, -1, WAIT_FIRST_EXCEPTION, NULL));
    must(future_exception(task_future(bad), &x, NULL));
    tout("done %s pending %s exception %s", done_names(&w), pending_names(&w), show_error(x));
    (void)value_of(ok2);
    tout("ok2 over");
    drop_all(&w);
    start_clock();
    add(&w, task_create(nap_of, BOX(1), "ok3"));
    add(&w, task_create(nap_of, BOX(2), "ok4"));
    must(await_wait(&w, -1, WAIT_FIRST_EXCEPTION, NULL));
    tout("done %s pending %s", done_names(&w), pending_names(&w));
    drop_all(&w);
    return 0;
}

static void wait_first_exception(void)
{
    must(run(first_exception_main, NULL, NULL, NULL));
}

static int hello(void *arg, void **ret_result, struct err *e)
{
    (void)ret_result, (void)e;
    must(nap(1));
    tout("... World! %d", NUMBER(arg));
    return 0;
}

static int wait_body(void *w, void **ret_result, struct err *e)
{
    (void)ret_result;
    return await_wait(w, -1, WAIT_ALL_COMPLETED, e);
}

static void wait_ten(void)
{
    struct waited w = {.count = 0};
    struct loop *l = need(loop_new(0));
    start_clock();
    while (w.count < 10)
        add(&w, loop_create_task(l, hello, BOX(w.count), NULL));
    must(loop_run_coroutine(l, wait_body, &w, NULL, NULL));
    tout("done %zu pending %zu", w.done, w.pending);
    drop_all(&w);
    loop_free(l);
}

static int timeout_main(void *arg, void **ret_result, struct err *e)
{
    struct waited w = {.count = 0};
    (void)arg, (void)ret_result, (void)e;
    start_clock();
    add(&w, task_create(nap_of, BOX(1), "s1"));
    add(&w, task_create(nap_of, BOX(4), "s4"));
    must(await_wait(&w, 2, WAIT_ALL_COMPLETED, NULL));
    tout("done %s pending %s s4 cancelled: %s", done_names(&w), pending_names(&w),
         yes(future_cancelled(w.fs[1])));
    struct waited s4 = {.fs = {w.fs[1]}, .count = 1}, s5 = {.count = 0};
    must(await_wait(&s4, 9, WAIT_ALL_COMPLETED, NULL));
    tout("done %s pending %s", done_names(&s4), pending_names(&s4));
    add(&s5, task_create(nap_of, BOX(1), "s5"));
    must(await_wait(&s5, 0, WAIT_ALL_COMPLETED, NULL));
    tout("done %s pending %s", done_names(&s5), pending_names(&s5));
    must(future_await(s5.fs[0], NULL, NULL));
    tout("end");
    drop_all(&w), drop_all(&s5);
    return 0;
}

static void wait_timeout(void)
{
    must(run(timeout_main, NULL, NULL, NULL));
}

static int give_after(void *arg, void **ret_result, struct err *e)
{
    static const char *const results[] = {"", "r1", "r2", "r3", "", "r5"};
    (void)e;
    must(nap(NUMBER(arg)));
    *ret_result = BOX(results[NUMBER(arg)]);
    return 0;
}

static int ok_after(void *arg, void **ret_result, struct err *e)
{
    (void)e;
    must(nap(NUMBER(arg)));
    *ret_result = BOX(NUMBER(arg) == 1 ? "ok1" : "ok4");
    return 0;
}

static void cancel(void *task)
{
    (void)task_cancel(task);
}

static int error_main(void *arg, void **ret_result, struct err *e)
{
    struct waited w = {.count = 0};
    void *v;
    (void)arg, (void)ret_result;
    start_clock();
    struct task *gone = need(task_create(nap_of, BOX(9), NULL));
    later(loop_running(), 3, cancel, gone);
    add(&w, task_create(ok_after, BOX(4), NULL));
    add(&w, task_create(raise_bad, NULL, NULL));
    add(&w, task_create(ok_after, BOX(1), NULL));
    add(&w, gone);
    struct as_completed *a = need(as_completed_new(w.fs, w.count, -1));
    while (as_completed_more(a)) {
        if (as_completed_next(a, NULL, &v, e) == 0)
            tout("result %s", TEXT(v));
        else
            tout("raised %s", show(e));
    }
    as_completed_free(a);
    drop_all(&w);
    return 0;
}

static void as_completed_error(void)
{
    must(run(error_main, NULL, NULL, NULL));
}

static int order_main(void *arg, void **ret_result, struct err *e)
{
    static const int lengths[] = {4, 1, 2};
    struct waited w = {.count = 0};
    void *v;
    (void)arg, (void)ret_result, (void)e;
    start_clock();
    for (int i = 0; i < 3; i++)
        add(&w, task_create(announce, BOX(lengths[i]), NULL));
    struct as_completed *a = need(as_completed_new(w.fs, w.count, -1));
    for (bool first = true; as_completed_more(a); first = false) {
        must(as_completed_next(a, NULL, &v, NULL));
        tout("Task ret: %s", TEXT(v));
        if (first)
            must(nap(2));
    }
    tout("end");
    as_completed_free(a);
    drop_all(&w);
    return 0;
}

static void as_completed_order(void)
{
    must(run(order_main, NULL, NULL, NULL));
}

static void print_outcomes(struct waited *w, double timeout)
{
    struct as_completed *a = need(as_completed_new(w->fs, w->count, unit_ms(timeout)));
    while (as_completed_more(a)) {
        struct err e;
        void *v;
        int r = as_completed_next(a, NULL, &v, &e);
        tout("%s", r == 0 ? TEXT(v) : show(&e));
    }
    as_completed_free(a);
}

static int limited_main(void *arg, void **ret_result, struct err *e)
{
    struct waited w = {.count = 0};
    (void)arg, (void)ret_result, (void)e;
    start_clock();
    for (int i = 0; i < 3; i++)
        add(&w, task_create(give_after, BOX(2 * i + 1), NULL));
    print_outcomes(&w, 4);
    tout("third cancelled: %s", yes(future_cancelled(w.fs[2])));
    void *v;
    must(future_await(w.fs[2], &v, NULL));
    tout("%s", TEXT(v));
    drop_all(&w);
    add(&w, task_create(give_after, BOX(2), NULL));
    add(&w, task_create(give_after, BOX(1), NULL));
    print_outcomes(&w, 9);
    drop_all(&w);
    return 0;
}

static void as_completed_timeout(void)
{
    must(run(limited_main, NULL, NULL, NULL));
}

const struct scenario wait_scenarios[] = {
    {"wait-all", wait_all},
    {"wait-arguments", wait_arguments},
    {"wait-cancelled-leaves-children", wait_cancelled_leaves_children},
    {"wait-first-completed", wait_first_completed},
    {"wait-first-exception", wait_first_exception},
    {"wait-ten", wait_ten},
    {"wait-timeout", wait_timeout},
    {"as-completed-error", as_completed_error},
    {"as-completed-order", as_completed_order},
    {"as-completed-timeout", as_completed_timeout},
    {NULL, NULL},
};
