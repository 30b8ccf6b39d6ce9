/* conf_callbacks.c - scenarios of the area "callbacks". */
#include <errno.h>

#include "tests/asyncio/conf.h"

static void say(void *text)
{
    tout("%s", TEXT(text));
}

static void blocker(void *arg)
{
    (void)arg;
    tout("block starts");
    block(3);
    tout("block ends");
}

static int blocking_main(void *arg, void **ret_result, struct err *e)
{
    struct loop *l = loop_running();
    (void)arg, (void)ret_result, (void)e;
    start_clock();
    later(l, 2, say, BOX("b"));
    later(l, 1, say, BOX("a"));
    later(l, 5, say, BOX("c"));
    need(loop_call_soon(l, blocker, NULL));
    int r = nap(6);
    tout("end");
    return r;
}

static void blocking_callback_delays(void)
{
    must(run(blocking_main, NULL, NULL, NULL));
}

static int spinner(void *arg, void **ret_result, struct err *e)
{
    const bool *flag = arg;
    int n = 0;
    (void)ret_result, (void)e;
    while (!*flag) {
        n++;
        must(task_sleep(0));
    }
    tout("spinner stopped, more than 10 rounds: %s", yes(n > 10));
    return 0;
}

static int two_naps(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)ret_result, (void)e;
    for (int i = 0; i < 2; i++) {
        must(nap(1));
        tout("sleeper");
    }
    return 0;
}

static void raise_flag(void *arg)
{
    *(bool *)arg = true;
}

static int fair_main(void *arg, void **ret_result, struct err *e)
{
    bool flag = false;
    (void)arg, (void)ret_result, (void)e;
    start_clock();
    later(loop_running(), 3, raise_flag, &flag);
    struct task *a = need(task_create(spinner, &flag, NULL));
    struct task *b = need(task_create(two_naps, NULL, NULL));
    drop(a);
    drop(b);
    tout("end");
    return 0;
}

static void busy_loop_is_fair(void)
{
    must(run(fair_main, NULL, NULL, NULL));
}

static int handler(struct loop *l, const struct loop_report *r, void *arg, struct err *e)
{
    (void)l, (void)arg;
    if (r->text[0] == 'a') { /* "again" */
        tout("handler gives up");
        return err_set(e, -EIO, "handler is broken");
    }
    tout("handler: %s", show_code(r->code, r->text));
    return 0;
}

static void oops(void *arg)
{
    (void)arg;
    loop_raise(-EINVAL, "oops");
}

static void raise_runtime(void *text)
{
    loop_raise(ERROR_RUNTIME, "%s", TEXT(text));
}

static int raises_main(void *arg, void **ret_result, struct err *e)
{
    struct loop *l = loop_running();
    (void)arg, (void)ret_result, (void)e;
    loop_set_exception_handler(l, handler, NULL);
    start_clock();
    need(loop_call_soon(l, say, BOX("first")));
    need(loop_call_soon(l, oops, NULL));
    need(loop_call_soon(l, say, BOX("third")));
    later(l, 1, raise_runtime, BOX("late"));
    later(l, 3, raise_runtime, BOX("again"));
    must(nap(2));
    tout("main goes on");
    must(nap(2));
    tout("end");
    return 0;
}

static void callback_raises(void)
{
    must(run(raises_main, NULL, NULL, NULL));
}

static int order_main(void *arg, void **ret_result, struct err *e)
{
    struct loop *l = loop_running();
    (void)arg, (void)ret_result, (void)e;
    start_clock();
    int64_t now = loop_time_ms(l);
    later(l, 3, say, BOX("three"));
    later(l, 1, say, BOX("one"));
    need(loop_call_at(l, now + unit_ms(2), say, BOX("two")));
    later(l, 5, say, BOX("five"));
    need(loop_call_at(l, now + unit_ms(4), say, BOX("four")));
    need(loop_call_at(l, now - unit_ms(3), say, BOX("past")));
    need(loop_call_soon(l, say, BOX("soon")));
    must(nap(6));
    tout("end");
    return 0;
}

static void calllater_order(void)
{
    must(run(order_main, NULL, NULL, NULL));
}

static void print(void *text)
{
    out("%s", TEXT(text));
}

static void soon3(void *f)
{
    print(BOX("soon 3"));
    must(future_set_result(f, NULL));
}

static void soon2(void *f)
{
    print(BOX("soon 2"));
    need(loop_call_soon(loop_running(), soon3, f));
}

static int zero_main(void *arg, void **ret_result, struct err *e)
{
    struct loop *l = loop_running();
    (void)arg, (void)ret_result;
    struct future *done = need(loop_create_future(l));
    need(loop_call_later(l, 0, print, BOX("timer")));
    need(loop_call_soon(l, print, BOX("soon 1")));
    need(loop_call_soon(l, soon2, done));
    int r = future_await(done, NULL, e);
    future_unref(done);
    print(BOX("end"));
    return r;
}

static void calllater_zero(void)
{
    must(run(zero_main, NULL, NULL, NULL));
}

struct lettered {
    const char *name;
    int number;
};

static void print_lettered(void *arg)
{
    const struct lettered *x = arg;
    out("%s %d", x->name, x->number);
}

static void stop(void *l)
{
    loop_stop(l);
}

static void a2(void *l)
{
    out("A2 4");
    need(loop_call_soon(l, stop, l));
}

static void a(void *l)
{
    out("A 1");
    need(loop_call_soon(l, a2, l));
}

static void b(void *l)
{
    static struct lettered next = {"B2", 5};
    out("B 2");
    need(loop_call_soon(l, print_lettered, &next));
}

static void c(void *l)
{
    static struct lettered next = {"C2", 6};
    out("C 3");
    need(loop_call_soon(l, print_lettered, &next));
}

static void callsoon_fifo(void)
{
    struct loop *l = need(loop_new(0));
    need(loop_call_soon(l, a, l));
    need(loop_call_soon(l, b, l));
    need(loop_call_soon(l, c, l));
    must(loop_run_forever(l, NULL));
    out("stopped");
    loop_free(l);
}

struct handles {
    struct handle *x, *y, *p, *r;
};

static void cancel_y(void *arg)
{
    struct handles *h = arg;
    tout("X");
    handle_cancel(h->y);
}

static void cancel_r(void *arg)
{
    struct handles *h = arg;
    tout("Q");
    handle_cancel(h->r);
}

static int handles_main(void *arg, void **ret_result, struct err *e)
{
    struct loop *l = loop_running();
    struct handles h;
    (void)arg, (void)ret_result, (void)e;
    start_clock();
    h.x = handle_ref(need(loop_call_soon(l, cancel_y, &h)));
    h.y = handle_ref(need(loop_call_soon(l, say, BOX("Y"))));
    need(loop_call_soon(l, say, BOX("Z")));
    h.p = handle_ref(later(l, 1, say, BOX("P")));
    later(l, 2, cancel_r, &h);
    h.r = handle_ref(later(l, 3, say, BOX("R")));
    handle_cancel(h.p);
    handle_cancel(h.p);
    must(nap(4));
    out("y %s p %s r %s x %s", yes(handle_cancelled(h.y)), yes(handle_cancelled(h.p)),
        yes(handle_cancelled(h.r)), yes(handle_cancelled(h.x)));
    handle_cancel(h.x);
    out("late cancel is harmless");
    handle_unref(h.x);
    handle_unref(h.y);
    handle_unref(h.p);
    handle_unref(h.r);
    return 0;
}

static void handle_cancel_scenario(void)
{
    must(run(handles_main, NULL, NULL, NULL));
}

const struct scenario callback_scenarios[] = {
    {"blocking-callback-delays", blocking_callback_delays},
    {"busy-loop-is-fair", busy_loop_is_fair},
    {"callback-raises", callback_raises},
    {"calllater-order", calllater_order},
    {"calllater-zero", calllater_zero},
    {"callsoon-fifo", callsoon_fifo},
    {"handle-cancel", handle_cancel_scenario},
    {NULL, NULL},
};
