/* conf_gather.c - scenarios of the area "gather", but combinator-ticks. */
#include "tests/asyncio/conf_gather.h"

#include <errno.h>
#include <string.h>

const char *show_gathered(const struct gathered *r, size_t n)
{
    static _Thread_local char text[512];
    (void)strcpy(text, "[");
    for (size_t i = 0; i < n; i++) {
        const char *value = r[i].value ? r[i].value : "none";
        if (r[i].code < 0)
            value = show_code(r[i].code, error_text(r[i].error));
        if (i)
            (void)strcat(text, ", ");
        (void)strncat(text, value, 64);
    }
    return strcat(text, "]");
}

struct future *gather_all(struct future *const *fs, size_t n, const struct gathered **ret_results)
{
    struct future *all = need(future_gather(fs, n, GATHER_RETURN_ERRORS));
    void *results;
    must(future_await(all, &results, NULL));
    for (size_t i = 0; i < n; i++)
        future_unref(fs[i]); /* the gather has its own */
    *ret_results = results;
    return all;
}

const char *gathered_text(struct future *g, size_t n)
{
    void *results;
    must(future_await(need(g), &results, NULL));
    const char *text = show_gathered(results, n);
    future_unref(g);
    return text;
}

int gather_error(struct future *g, struct err *e)
{
    int r = future_await(need(g), NULL, e);
    future_unref(g);
    return r;
}

int suspend_resume(void *arg, void **ret_result, struct err *e)
{
    const struct sleeper *s = arg;
    (void)e;
    tout("suspend %s", s->name);
    int r = nap(s->units);
    if (r < 0)
        return r;
    tout("resume %s", s->name);
    *ret_result = BOX(s->result);
    return 0;
}

struct sleeper sleeper_a = {"a", "A", 3}, sleeper_b = {"b", "B", 1};

static struct future *gather_tasks(struct task **t, size_t n, unsigned flags)
{
    struct future *fs[4];
    for (size_t i = 0; i < n; i++)
        fs[i] = task_future(t[i]);
    return need(future_gather(fs, n, flags));
}

struct child {
    const char *name;
    int units, cleanup;
    const char *kept; /* returned instead of going on with the cancellation */
};

static int child_body(void *arg, void **ret_result, struct err *e)
{
    const struct child *c = arg;
    (void)e;
    int r = nap(c->units);
    if (r == 0) {
        tout("%s ends", c->name);
        *ret_result = BOX(c->name);
        return 0;
    }
    tout("%s %s", c->name, c->kept ? "cleaning" : "cancelled");
    if (c->cleanup) {
        must(nap(c->cleanup));
        tout("%s %s", c->name, c->kept ? "ends" : "clean");
    }
    *ret_result = BOX(c->kept);
    return c->kept ? 0 : r;
}

static int keeping_parent(void *arg, void **ret_result, struct err *e)
{
    static struct child c1 = {"c1", 5, 0, NULL}, c2 = {"c2", 6, 2, "c2 value"};
    const struct gather_call calls[] = {{child_body, &c1}, {child_body, &c2}};
    (void)arg, (void)ret_result;
    int r = gather_error(gather_calls(calls, 2, GATHER_RETURN_ERRORS), e);
    if (r == -ECANCELED)
        tout("parent got CancelledError");
    return r;
}

static int keeps_main(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)ret_result;
    start_clock();
    struct task *p = need(task_create(keeping_parent, NULL, NULL));
    must(nap(2));
    (void)task_cancel(p);
    if (task_await(p, NULL, e) == -ECANCELED)
        tout("parent cancelled: %s", yes(task_cancelled(p)));
    task_unref(p);
    return 0;
}

static void gather_cancel_keeps_results(void)
{
    must(run(keeps_main, NULL, NULL, NULL));
}

static int outer_parent(void *arg, void **ret_result, struct err *e)
{
    static struct child cs[] = {{"c1", 5, 0, NULL}, {"c2", 6, 2, NULL}, {"c3", 1, 0, NULL}};
    struct task **t = arg;
    (void)ret_result;
    for (int i = 0; i < 3; i++)
        t[i] = need(task_create(child_body, &cs[i], NULL));
    int r = gather_error(gather_tasks(t, 3, 0), e);
    if (r == -ECANCELED)
        tout("parent got CancelledError");
    return r;
}

static int outer_main(void *arg, void **ret_result, struct err *e)
{
    struct task *t[3];
    (void)arg, (void)ret_result;
    start_clock();
    struct task *p = need(task_create(outer_parent, t, NULL));
    must(nap(2));
    tout("cancel returns %s", yes(task_cancel(p)));
    if (task_await(p, NULL, e) == -ECANCELED)
        tout("main sees the parent cancelled: %s", yes(task_cancelled(p)));
    must(nap(4));
    for (int i = 0; i < 3; i++) {
        out("c%d cancelled: %s", i + 1, yes(task_cancelled(t[i])));
        task_unref(t[i]);
    }
    task_unref(p);
    return 0;
}

static void gather_cancel_outer(void)
{
    must(run(outer_main, NULL, NULL, NULL));
}

static int quiet(void *arg, void **ret_result, struct err *e)
{
    const struct child *c = arg;
    (void)e;
    *ret_result = BOX(c->name);
    return nap(c->units);
}

static void cancel(void *task)
{
    (void)task_cancel(task);
}

static int child_cancelled_main(void *arg, void **ret_result, struct err *e)
{
    static struct child cs[] = {
        {"t1", 3, 0, NULL}, {"t2", 4, 0, NULL}, {"t3", 2, 0, NULL}, {"t4", 3, 0, NULL}};
    struct task *t[4];
    (void)arg, (void)ret_result;
    start_clock();
    t[0] = need(task_create(quiet, &cs[0], NULL)), t[1] = need(task_create(quiet, &cs[1], NULL));
    later(loop_running(), 1, cancel, t[0]);
    if (gather_error(gather_tasks(t, 2, 0), e) == -ECANCELED)
        tout("gather raised %s", show(e));
    tout("t1 cancelled: %s t2 done: %s", yes(task_cancelled(t[0])), yes(task_done(t[1])));
    const char *value = value_of(t[1]);
    tout("%s", value);
    t[2] = need(task_create(quiet, &cs[2], NULL)), t[3] = need(task_create(quiet, &cs[3], NULL));
    later(loop_running(), 1, cancel, t[2]);
    value = gathered_text(gather_tasks(t + 2, 2, GATHER_RETURN_ERRORS), 2);
    tout("%s", value);
    for (int i = 0; i < 4; i++)
        task_unref(t[i]);
    return 0;
}

static void gather_child_cancelled(void)
{
    must(run(child_cancelled_main, NULL, NULL, NULL));
}

static int count(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)ret_result, (void)e;
    tout("One");
    must(nap(1));
    tout("Two");
    return 0;
}

static int count_main(void *arg, void **ret_result, struct err *e)
{
    static const struct gather_call calls[] = {{count, NULL}, {count, NULL}, {count, NULL}};
    (void)arg, (void)e;
    start_clock();
    *ret_result = BOX(gathered_text(gather_calls(calls, 3, 0), 3));
    return 0;
}

static void gather_count(void)
{
    void *text;
    must(run(count_main, NULL, &text, NULL));
    tout("%s", TEXT(text));
}

static int once(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)e;
    tout("once runs");
    must(nap(1));
    *ret_result = BOX("v");
    return 0;
}

static int duplicates_main(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)ret_result, (void)e;
    start_clock();
    const char *text = gathered_text(future_gather(NULL, 0, 0), 0);
    tout("%s", text);
    struct task *t = need(task_create(once, NULL, NULL)), *ts[] = {t, t, t};
    text = gathered_text(gather_tasks(ts, 3, 0), 3);
    tout("%s", text);
    ts[1] = need(task_create(once, NULL, NULL));
    (void)value_of(ts[1]);
    text = gathered_text(gather_tasks(ts, 2, 0), 2);
    tout("%s", text);
    task_unref(t), task_unref(ts[1]);
    return 0;
}

static void gather_empty_and_duplicates(void)
{
    must(run(duplicates_main, NULL, NULL, NULL));
}

static int raise_bad(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)ret_result;
    must(nap(2));
    tout("bad raises");
    return err_set(e, -EINVAL, "bad");
}

static int first_error_main(void *arg, void **ret_result, struct err *e)
{
    static struct child ok1 = {"ok1", 1, 0, NULL}, ok2 = {"ok2", 4, 0, NULL};
    struct task *t[3];
    (void)arg, (void)ret_result;
    start_clock();
    t[0] = need(task_create(child_body, &ok1, NULL));
    t[1] = need(task_create(raise_bad, NULL, NULL));
    t[2] = need(task_create(child_body, &ok2, NULL));
    if (gather_error(gather_tasks(t, 3, 0), e) == -EINVAL)
        tout("gather raised %s", show(e));
    tout("done: %s %s %s cancelled: %s", yes(task_done(t[0])), yes(task_done(t[1])),
         yes(task_done(t[2])), yes(task_cancelled(t[2])));
    const char *value = value_of(t[2]);
    tout("awaited %s", value);
    task_unref(t[0]), task_unref(t[1]), task_unref(t[2]);
    return 0;
}

static void gather_first_error(void)
{
    must(run(first_error_main, NULL, NULL, NULL));
}

struct draws {
    int idx, threshold, draws[4];
};

static int makerandom(void *arg, void **ret_result, struct err *e)
{
    const struct draws *d = arg;
    const int *i = d->draws;
    (void)e;
    tout("Initiated makerandom(%d).", d->idx);
    for (; *i <= d->threshold; i++) {
        tout("makerandom(%d) == %d too low; retrying.", d->idx, *i);
        must(nap(d->idx + 1));
    }
    tout("---> Finished: makerandom(%d) == %d", d->idx, *i);
    *ret_result = BOX(*i);
    return 0;
}

static int makerandom_main(void *arg, void **ret_result, struct err *e)
{
    static struct draws d[] = {{0, 9, {4, 10}}, {1, 8, {4, 7, 10}}, {2, 7, {0, 4, 4, 8}}};
    static const struct gather_call calls[] = {
        {makerandom, &d[0]}, {makerandom, &d[1]}, {makerandom, &d[2]}};
    int *sum = arg;
    void *results;
    (void)ret_result, (void)e;
    start_clock();
    struct future *g = need(gather_calls(calls, 3, 0));
    must(future_await(g, &results, NULL));
    for (int i = 0; i < 3; i++)
        sum[i] = NUMBER(((const struct gathered *)results)[i].value);
    future_unref(g);
    return 0;
}

static void gather_makerandom(void)
{
    int r[3];
    must(run(makerandom_main, r, NULL, NULL));
    out("r1: %d, r2: %d, r3: %d", r[0], r[1], r[2]);
}

static void complete(void *f)
{
    must(future_set_result(f, BOX("F")));
}

static int at_once(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)e;
    *ret_result = BOX("C");
    return 0;
}

static int order_main(void *arg, void **ret_result, struct err *e)
{
    static const struct gather_call calls[] = {{suspend_resume, &sleeper_a},
                                               {suspend_resume, &sleeper_b}};
    (void)arg, (void)ret_result, (void)e;
    start_clock();
    const char *text = gathered_text(gather_calls(calls, 2, 0), 2);
    tout("%s", text);
    start_clock();
    struct future *f = need(loop_create_future(loop_running()));
    later(loop_running(), 2, complete, f);
    struct task *b = need(task_create(suspend_resume, &sleeper_b, NULL));
    struct task *c = need(task_create(at_once, NULL, NULL));
    struct future *fs[] = {task_future(b), f, task_future(c)};
    text = gathered_text(future_gather(fs, 3, 0), 3);
    tout("%s", text);
    task_unref(b), task_unref(c), future_unref(f);
    return 0;
}

static void gather_order(void)
{
    must(run(order_main, NULL, NULL, NULL));
}

static int one(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)e;
    *ret_result = BOX("1");
    return nap(1);
}

static int two(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)ret_result;
    int r = nap(2);
    return r < 0 ? r : error_set(e, ERROR_ZERO_DIVISION);
}

static int errors_main(void *arg, void **ret_result, struct err *e)
{
    struct task *t[3];
    (void)arg, (void)ret_result, (void)e;
    start_clock();
    t[0] = need(task_create(one, NULL, NULL));
    t[1] = need(task_create(two, NULL, NULL)), t[2] = need(task_create(two, NULL, NULL));
    must(nap(2));
    tout("cancel returns %s", yes(task_cancel(t[2])));
    const char *text = gathered_text(gather_tasks(t, 3, GATHER_RETURN_ERRORS), 3);
    tout("%s", text);
    task_unref(t[0]), task_unref(t[1]), task_unref(t[2]);
    return 0;
}

static void gather_return_exceptions(void)
{
    must(run(errors_main, NULL, NULL, NULL));
}

const struct scenario gather_scenarios[] = {
    {"gather-cancel-keeps-results", gather_cancel_keeps_results},
    {"gather-cancel-outer", gather_cancel_outer},
    {"gather-child-cancelled", gather_child_cancelled},
    {"gather-count", gather_count},
    {"gather-empty-and-duplicates", gather_empty_and_duplicates},
    {"gather-first-error", gather_first_error},
    {"gather-makerandom", gather_makerandom},
    {"gather-order", gather_order},
    {"gather-return-exceptions", gather_return_exceptions},
    {NULL, NULL},
};
