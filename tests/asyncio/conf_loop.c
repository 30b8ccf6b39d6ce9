/* conf_loop.c - scenarios of the area "loop". */
#include "tests/asyncio/conf.h"

static void print(void *text)
{
    out("%s", TEXT(text));
}

static void stop(void *l)
{
    loop_stop(l);
}

static void first(void *l)
{
    out("first");
    loop_stop(l);
    need(loop_call_soon(l, print, BOX("late")));
}

static void pre(void *l)
{
    out("pre");
    need(loop_call_soon(l, print, BOX("queued by pre")));
}

static int one_turn(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)ret_result, (void)e;
    return task_sleep(0);
}

static void loop_run_forever_stop(void)
{
    struct loop *l = need(loop_new(0));
    need(loop_call_soon(l, first, l));
    need(loop_call_soon(l, print, BOX("second")));
    need(loop_call_soon(l, print, BOX("third")));
    must(loop_run_forever(l, NULL));
    out("returned");
    need(loop_call_soon(l, stop, l));
    must(loop_run_forever(l, NULL));
    out("returned again");
    loop_stop(l);
    need(loop_call_soon(l, pre, l));
    must(loop_run_forever(l, NULL));
    out("returned after one iteration");
    must(loop_run_coroutine(l, one_turn, NULL, NULL, NULL));
    out("end");
    loop_free(l);
}

static int long_job(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)e;
    tout("long starts");
    int r = nap(3);
    if (r < 0)
        return r;
    tout("long ends");
    *ret_result = BOX(7);
    return 0;
}

static void loop_stopped_before_complete(void)
{
    struct err e;
    void *v = NULL;
    struct loop *l = need(loop_new(0));
    start_clock();
    struct task *t = need(loop_create_task(l, long_job, NULL, NULL));
    later(l, 1, stop, l);
    if (loop_run_until_complete(l, task_future(t), NULL, &e) < 0)
        tout("%s", show(&e));
    tout("done: %s cancelled: %s", yes(task_done(t)), yes(task_cancelled(t)));
    must(loop_run_until_complete(l, task_future(t), &v, NULL));
    tout("second run: %d", NUMBER(v));
    task_unref(t);
    loop_free(l);
}

const struct scenario loop_scenarios[] = {
    {"loop-run-forever-stop", loop_run_forever_stop},
    {"loop-stopped-before-complete", loop_stopped_before_complete},
    {NULL, NULL},
};
