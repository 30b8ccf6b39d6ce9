/* conf_loop.c - scenarios of the area "loop". */
#include <errno.h>

#include "tests/asyncio/conf.h"
#include "worker/runtime/executor.h"

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

/* -- loop-closed-errors -- */

static int say_ok(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)e;
    *ret_result = BOX("ok");
    return 0;
}

static void must_not_run(void *arg)
{
    (void)arg;
    out("a callback ran");
}

static int must_not_run_there(void *arg, void **ret_result, struct err *e)
{
    (void)ret_result, (void)e;
    must_not_run(arg);
    return 0;
}

static void say_code(const char *what, int code)
{
    struct err why;
    (void)error_set(&why, code);
    out("%s %s", what, code ? show(&why) : "worked");
}

static void say_pointer(const char *what, const void *p)
{
    say_code(what, p ? 0 : -errno);
}

static void loop_closed_errors(void)
{
    struct loop *l = need(loop_new(0));
    void *v;
    must(loop_run_coroutine(l, say_ok, NULL, &v, NULL));
    out("before: %s", TEXT(v));
    must(loop_close(l, NULL));
    must(loop_close(l, NULL));
    out("is_closed: %s is_running: %s", yes(loop_is_closed(l)), yes(loop_is_running(l)));
    say_code("run_until_complete", loop_run_coroutine(l, must_not_run_there, NULL, NULL, NULL));
    say_code("run_forever", loop_run_forever(l, NULL));
    say_pointer("call_soon", loop_call_soon(l, must_not_run, NULL));
    say_pointer("call_later", loop_call_later(l, 0, must_not_run, NULL));
    say_code("call_soon_threadsafe", loop_call_soon_threadsafe(l, must_not_run, NULL));
    say_pointer("create_task", loop_create_task(l, must_not_run_there, NULL, NULL));
    say_pointer("run_in_executor", loop_run_in_executor(l, NULL, must_not_run_there, NULL));
    (void)loop_free(l);
}

const struct scenario loop_scenarios[] = {
    {"loop-closed-errors", loop_closed_errors},
    {"loop-run-forever-stop", loop_run_forever_stop},
    {"loop-stopped-before-complete", loop_stopped_before_complete},
    {NULL, NULL},
};
