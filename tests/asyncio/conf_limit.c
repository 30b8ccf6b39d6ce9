/* conf_limit.c - scenarios of the areas "wait_for", "timeout" and "shield". */
#include <errno.h>

#include "tests/asyncio/conf_gather.h"
#include "worker/runtime/shield.h"
#include "worker/runtime/timeout.h"
#include "worker/runtime/wait.h"

static struct future *start(coro_fn fn, void *arg)
{
    return task_future(need(task_create(fn, arg, NULL)));
}

/* Waits for a new task, that nobody else holds. n < 0: no limit. */
static int wait_for_new(coro_fn fn, void *arg, double n, void **ret_result, struct err *e)
{
    struct future *f = start(fn, arg);
    int r = wait_for(f, n < 0 ? -1 : unit_ms(n), ret_result, e);
    future_unref(f);
    return r;
}

static int job(void *arg, void **ret_result, struct err *e)
{
    int n = NUMBER(arg);
    (void)e;
    tout("job %d starts", n);
    int r = nap(n);
    tout("job %d %s", n, r < 0 ? "cancelled" : "ends");
    *ret_result = arg;
    return r;
}

static int early(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)ret_result;
    return err_set(e, -EINVAL, "early");
}

static int basic_main(void *arg, void **ret_result, struct err *e)
{
    void *v;
    (void)arg, (void)ret_result;
    start_clock();
    must(wait_for_new(job, BOX(1), 3, &v, NULL));
    tout("got %d", NUMBER(v));
    if (wait_for_new(job, BOX(5), 2, NULL, e) == -ETIMEDOUT)
        tout("raised %s", show(e));
    must(wait_for_new(job, BOX(2), -1, &v, NULL));
    tout("got %d", NUMBER(v));
    if (wait_for_new(early, NULL, 2, NULL, e) == -EINVAL)
        tout("raised %s", show(e));
    return 0;
}

static void waitfor_basic(void)
{
    must(run(basic_main, NULL, NULL, NULL));
}

struct cleaner {
    const char *begins, *ends;
    int naps;
};

static int clean_up(void *arg, void **ret_result, struct err *e)
{
    const struct cleaner *c = arg;
    (void)ret_result, (void)e;
    int r = nap(9);
    if (r == -ECANCELED) {
        tout("%s", c->begins);
        must(nap(c->naps));
        tout("%s", c->ends);
    }
    return r;
}

static int outer_waiter(void *arg, void **ret_result, struct err *e)
{
    static struct cleaner c = {"job cleaning", "job clean", 2};
    (void)arg;
    int r = wait_for_new(clean_up, &c, 8, ret_result, e);
    tout("w got %s", show(e));
    return r;
}

static void await_end(struct task *t)
{
    struct future *f = task_future(t);
    size_t done, pending;
    must(future_wait(&f, 1, -1, WAIT_ALL_COMPLETED, &done, &pending, NULL));
}

static int outer_main(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)ret_result, (void)e;
    start_clock();
    struct task *w = need(task_create(outer_waiter, NULL, NULL));
    must(nap(1));
    tout("cancel returns %s", yes(task_cancel(w)));
    await_end(w);
    tout("w cancelled: %s", yes(task_cancelled(w)));
    task_unref(w);
    return 0;
}

static void waitfor_outer_cancel(void)
{
    must(run(outer_main, NULL, NULL, NULL));
}

struct ending {
    const char *line, *result;
};

static int ends_after_3(void *arg, void **ret_result, struct err *e)
{
    const struct ending *x = arg;
    (void)e;
    int r = nap(3);
    if (r < 0)
        return r;
    tout("%s", x->line);
    *ret_result = BOX(x->result);
    return 0;
}

static int shielded_main(void *arg, void **ret_result, struct err *e)
{
    static struct ending x = {"job ends", "job value"};
    void *v;
    (void)arg, (void)ret_result;
    start_clock();
    struct future *f = start(ends_after_3, &x), *s = need(shield(f));
    if (wait_for(s, unit_ms(1), NULL, e) == -ETIMEDOUT)
        tout("raised %s done: %s cancelled: %s", show(e), yes(future_done(f)),
             yes(future_cancelled(f)));
    must(future_await(f, &v, NULL));
    tout("got %s", TEXT(v));
    future_unref(s), future_unref(f);
    return 0;
}

static void waitfor_shielded(void)
{
    must(run(shielded_main, NULL, NULL, NULL));
}

static int swallow(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)e;
    if (nap(9) == -ECANCELED)
        tout("swallowed");
    must(nap(2));
    *ret_result = BOX("late value");
    return 0;
}

static int broken(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)ret_result;
    int r = nap(9);
    return r == -ECANCELED ? err_set(e, -EINVAL, "cleanup failed") : r;
}

static int swallowed_main(void *arg, void **ret_result, struct err *e)
{
    void *v;
    (void)arg, (void)ret_result;
    start_clock();
    must(wait_for_new(swallow, NULL, 1, &v, NULL));
    tout("got %s", TEXT(v));
    if (wait_for_new(broken, NULL, 1, NULL, e) == -EINVAL)
        tout("raised %s", show(e));
    return 0;
}

static void waitfor_swallowed_cancel(void)
{
    must(run(swallowed_main, NULL, NULL, NULL));
}

static int cleanup_main(void *arg, void **ret_result, struct err *e)
{
    static struct cleaner c = {"cleaning", "clean", 3};
    (void)arg, (void)ret_result;
    start_clock();
    struct future *f = start(clean_up, &c);
    if (wait_for(f, unit_ms(1), NULL, e) == -ETIMEDOUT)
        tout("raised %s done: %s cancelled: %s", show(e), yes(future_done(f)),
             yes(future_cancelled(f)));
    future_unref(f);
    return 0;
}

static void waitfor_waits_for_cleanup(void)
{
    must(run(cleanup_main, NULL, NULL, NULL));
}

static int inner_block(struct err *e)
{
    tout("2 inside");
    int r = nap(9);
    if (r == -ECANCELED)
        tout("2 inner %s", show_code(r, ""));
    return error_set(e, r);
}

static int timeout_main(void *arg, void **ret_result, struct err *e)
{
    struct timeout limit;
    (void)arg, (void)ret_result;
    start_clock();
    must(timeout_enter(&limit, unit_ms(3), NULL));
    must(timeout_exit(&limit, nap(1), NULL));
    tout("1 expired: %s", yes(timeout_expired(&limit)));
    must(timeout_enter(&limit, unit_ms(2), NULL));
    if (timeout_exit(&limit, inner_block(e), e) == -ETIMEDOUT)
        tout("2 %s expired: %s", show(e), yes(timeout_expired(&limit)));
    must(nap(1));
    tout("3 goes on");
    must(timeout_enter(&limit, unit_ms(9), NULL));
    if (timeout_exit(&limit, err_set(e, -EINVAL, "own"), e) == -EINVAL)
        tout("4 %s", show(e));
    return 0;
}

static void timeout_block(void)
{
    must(run(timeout_main, NULL, NULL, NULL));
}

struct suspended { /* as suspend_resume, and says when it is cancelled */
    const char *name, *result;
    int units;
};

static int suspended(void *arg, void **ret_result, struct err *e)
{
    const struct suspended *s = arg;
    (void)e;
    tout("suspend %s", s->name);
    int r = nap(s->units);
    tout("%s %s", r < 0 ? "cancelled" : "resume", s->name);
    *ret_result = BOX(s->result);
    return r;
}

static struct suspended a = {"a", "A", 3}, b = {"b", "B", 1};

static struct future *shielded(coro_fn fn, void *arg)
{
    struct future *f = start(fn, arg), *s = need(shield(f));
    future_unref(f);
    return s;
}

static struct future *gather_two(struct future *x, struct future *y)
{
    struct future *fs[] = {x, y};
    return need(future_gather(fs, 2, GATHER_RETURN_ERRORS));
}

static int cancelled_after(void *stay, void **ret_result, struct err *e)
{
    (void)ret_result, (void)e;
    start_clock();
    struct future *s = shielded(suspended, &a), *t = start(suspended, &b), *g = gather_two(s, t);
    tout("cancel returns %s", yes(future_cancel(s)));
    const char *text = gathered_text(g, 2);
    tout("%s", text);
    future_unref(s), future_unref(t);
    return stay ? nap(3) : 0;
}

static void shield_cancelled_after_gather(void)
{
    must(run(cancelled_after, NULL, NULL, NULL));
    tout("first run over");
    must(run(cancelled_after, BOX(1), NULL, NULL));
    tout("second run over");
}

static int cancelled_before(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)ret_result, (void)e;
    start_clock();
    struct future *s = shielded(suspended, &a), *t = start(suspended, &b);
    tout("cancel returns %s", yes(future_cancel(s)));
    const char *text = gathered_text(gather_two(s, t), 2);
    tout("%s", text);
    future_unref(s), future_unref(t);
    must(nap(3));
    tout("end");
    return 0;
}

static void shield_cancelled_before_gather(void)
{
    must(run(cancelled_before, NULL, NULL, NULL));
}

static int await_shield(void *inner, void **ret_result, struct err *e)
{
    struct future *s = need(shield(inner));
    int r = future_await(s, ret_result, e);
    if (r == -ECANCELED)
        tout("outer got %s", show(e));
    future_unref(s);
    return r;
}

static int outer_cancelled_main(void *arg, void **ret_result, struct err *e)
{
    static struct ending x = {"inner ends", "inner value"};
    void *v;
    (void)arg, (void)ret_result, (void)e;
    start_clock();
    struct future *i = start(ends_after_3, &x);
    struct task *o = need(task_create(await_shield, i, NULL));
    must(nap(1));
    tout("cancel returns %s", yes(task_cancel(o)));
    await_end(o);
    tout("outer cancelled: %s inner cancelled: %s", yes(task_cancelled(o)),
         yes(future_cancelled(i)));
    must(future_await(i, &v, NULL));
    tout("%s", TEXT(v));
    future_unref(i), task_unref(o);
    return 0;
}

static void shield_outer_cancelled(void)
{
    must(run(outer_cancelled_main, NULL, NULL, NULL));
}

static int give(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)e;
    *ret_result = BOX("v");
    return nap(1);
}

static int fail(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)ret_result;
    must(nap(1));
    return err_set(e, -EINVAL, "e");
}

static int nap_9(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)ret_result, (void)e;
    return nap(9);
}

static void cancel(void *f)
{
    (void)future_cancel(f);
}

static int results_main(void *arg, void **ret_result, struct err *e)
{
    void *v;
    (void)arg, (void)ret_result;
    start_clock();
    struct future *s = shielded(give, NULL);
    must(future_await(s, &v, NULL));
    tout("1 %s", TEXT(v));
    future_unref(s);
    if (gather_error(shielded(fail, NULL), e) == -EINVAL)
        tout("2 %s", show(e));
    struct future *t = start(nap_9, NULL);
    later(loop_running(), 1, cancel, t);
    if (gather_error(shield(t), e) == -ECANCELED)
        tout("3 %s", show(e));
    struct future *f = need(loop_create_future(loop_running()));
    must(future_set_result(f, NULL));
    s = shield(f);
    out("4 %s", yes(s == f));
    future_unref(s), future_unref(f), future_unref(t);
    return 0;
}

static void shield_results(void)
{
    must(run(results_main, NULL, NULL, NULL));
}

const struct scenario limit_scenarios[] = {
    {"waitfor-basic", waitfor_basic},
    {"waitfor-outer-cancel", waitfor_outer_cancel},
    {"waitfor-shielded", waitfor_shielded},
    {"waitfor-swallowed-cancel", waitfor_swallowed_cancel},
    {"waitfor-waits-for-cleanup", waitfor_waits_for_cleanup},
    {"timeout-block", timeout_block},
    {"shield-cancelled-after-gather", shield_cancelled_after_gather},
    {"shield-cancelled-before-gather", shield_cancelled_before_gather},
    {"shield-outer-cancelled", shield_outer_cancelled},
    {"shield-results", shield_results},
    {NULL, NULL},
};
