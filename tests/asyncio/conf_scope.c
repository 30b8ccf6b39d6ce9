/* conf_scope.c - scenarios of the areas "context-manager" and "interrupt". */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <ev.h>

#include "tests/asyncio/conf_gather.h"
#include "worker/runtime/wait.h"

/* An asynchronous scope: what is between enter and leave. */
static void enter(const char *name)
{
    must(nap(1));
    tout("open %s", name);
}

static int leave(const char *name, int code)
{
    must(nap(1));
    tout("close %s", name);
    return code;
}

static int say_body(struct err *e)
{
    (void)e;
    tout("body");
    return 0;
}

static int raise_body(struct err *e)
{
    return err_set(e, -EINVAL, "body");
}

static int scoped(const char *name, int (*body)(struct err *e), struct err *e)
{
    enter(name);
    return leave(name, body(e));
}

static int inside_x(struct err *e)
{
    return scoped("y", say_body, e);
}

static int nap_9(struct err *e)
{
    (void)e;
    return nap(9);
}

static int scoped_sleeper(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)ret_result;
    return scoped("s", nap_9, e);
}

static int cleanup_main(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)ret_result;
    start_clock();
    must(scoped("a", say_body, e));
    start_clock();
    if (scoped("b", raise_body, e) == -EINVAL)
        tout("raised %s", show(e));
    start_clock();
    must(scoped("x", inside_x, e));
    start_clock();
    struct task *t = need(task_create(scoped_sleeper, NULL, NULL));
    must(nap(2));
    (void)task_cancel(t);
    (void)task_await(t, NULL, NULL);
    tout("cancelled: %s", yes(task_cancelled(t)));
    task_unref(t);
    return 0;
}

static void cm_async_cleanup(void)
{
    must(run(cleanup_main, NULL, NULL, NULL));
}

static int sleep_quietly(void *arg, void **ret_result, struct err *e)
{
    const struct sleeper *s = arg;
    (void)e;
    *ret_result = BOX(s->result);
    return nap(s->units);
}

static int gather_both(void *arg, void **ret_result, struct err *e)
{
    static const struct gather_call calls[] = {{sleep_quietly, &sleeper_a},
                                               {sleep_quietly, &sleeper_b}};
    (void)arg, (void)e;
    *ret_result = BOX(gathered_text(gather_calls(calls, 2, 0), 2));
    return 0;
}

static int timed_main(void *arg, void **ret_result, struct err *e)
{
    void *text;
    (void)ret_result;
    start_clock();
    must(gather_both(arg, &text, e));
    out("Result: %s", TEXT(text));
    out("Cost: %d", units());
    return 0;
}

static void cm_timed(void)
{
    void *text;
    start_clock();
    must(run(gather_both, NULL, &text, NULL));
    out("Result: %s", TEXT(text));
    out("Cost: %d", units());
    must(run(timed_main, NULL, NULL, NULL));
}

static void *kill_at_2(void *arg)
{
    (void)arg;
    block(2);
    (void)kill(getpid(), SIGINT);
    return NULL;
}

static void on_sigint(struct ev_loop *ev, ev_signal *w, int events)
{
    (void)ev, (void)events;
    loop_interrupt(w->data, ERROR_INTERRUPT);
}

/* Runs l until f is done, or SIGINT comes at 2 units. */
static int run_interrupted(struct loop *l, struct future *f, struct err *e)
{
    pthread_t killer;
    ev_signal w;
    ev_signal_init(&w, on_sigint, SIGINT);
    w.data = l;
    ev_signal_start(loop_ev(l), &w);
    must(-pthread_create(&killer, NULL, kill_at_2, NULL));
    int r = loop_run_until_complete(l, f, NULL, e);
    (void)pthread_join(killer, NULL);
    ev_signal_stop(loop_ev(l), &w);
    return r;
}

static void run_one_iteration(struct loop *l)
{
    loop_stop(l);
    must(loop_run_forever(l, NULL));
}

static int long_task(void *arg, void **ret_result, struct err *e)
{
    (void)ret_result, (void)e;
    tout("Waiting: %d", NUMBER(arg));
    int r = nap(10 * NUMBER(arg));
    if (r == -ECANCELED)
        tout("%d cancelled", NUMBER(arg));
    return r;
}

static int wait_for_three(void *fs, void **ret_result, struct err *e)
{
    size_t done, pending;
    (void)ret_result;
    return future_wait(fs, 3, -1, WAIT_ALL_COMPLETED, &done, &pending, e);
}

static int say_message(struct loop *l, const struct loop_report *r, void *arg, struct err *e)
{
    (void)l, (void)arg, (void)e;
    out("handler: %s", r->message);
    return 0;
}

static void cancel_each(struct loop *l, struct future **fs)
{
    struct task **all;
    size_t n;
    must(task_all(l, &all, &n));
    out("unfinished: %zu", n);
    task_all_free(all, n);
    for (int i = 0; i < 4; i++)
        out("cancel returns %s", yes(future_cancel(fs[i])));
}

static void interrupt_cancel_each(void)
{
    struct loop *l = need(loop_new(0));
    struct future *fs[4];
    struct err e;
    loop_set_exception_handler(l, say_message, NULL);
    start_clock();
    for (int i = 0; i < 3; i++)
        fs[i] = task_future(need(loop_create_task(l, long_task, BOX(i + 1), NULL)));
    fs[3] = task_future(need(loop_create_task(l, wait_for_three, fs, NULL)));
    if (run_interrupted(l, fs[3], &e) == ERROR_INTERRUPT) {
        tout("interrupted: %s", error_kind(e.code));
        cancel_each(l, fs);
        run_one_iteration(l);
    }
    out("done: %s %s %s %s", yes(future_done(fs[0])), yes(future_done(fs[1])),
        yes(future_done(fs[2])), yes(future_done(fs[3])));
    must(loop_close(l, NULL));
    for (int i = 0; i < 4; i++)
        future_unref(fs[i]);
    loop_free(l);
    out("end");
}

static int work_main(void *arg, void **ret_result, struct err *e)
{
    struct future **work = arg;
    for (int i = 0; i < 3; i++)
        work[i] = task_future(need(task_create(long_task, BOX(i + 1), NULL)));
    int r = wait_for_three(work, ret_result, e);
    if (r == 0)
        out("never reached");
    return r;
}

static void interrupt_cancel_gather(void)
{
    struct loop *l = need(loop_new(0));
    struct future *fs[4], *g = NULL;
    struct err e;
    start_clock();
    fs[0] = task_future(need(loop_create_task(l, work_main, fs + 1, NULL)));
    if (run_interrupted(l, fs[0], &e) == ERROR_INTERRUPT) {
        tout("interrupted: %s", error_kind(e.code));
        g = need(future_gather(fs, 4, 0));
        out("cancel returns %s", yes(future_cancel(g)));
        run_one_iteration(l);
    }
    out("done: %s %s %s %s", yes(future_done(fs[0])), yes(future_done(fs[1])),
        yes(future_done(fs[2])), yes(future_done(fs[3])));
    out("cancelled: %s %s %s %s", yes(future_cancelled(fs[0])), yes(future_cancelled(fs[1])),
        yes(future_cancelled(fs[2])), yes(future_cancelled(fs[3])));
    if (loop_run_until_complete(l, need(g), NULL, &e) == -ECANCELED)
        out("gather: %s", show(&e));
    for (int i = 0; i < 4; i++)
        future_unref(fs[i]);
    future_unref(g);
    loop_free(l);
}

const struct scenario scope_scenarios[] = {
    {"cm-async-cleanup", cm_async_cleanup},
    {"cm-timed", cm_timed},
    {"interrupt-cancel-each", interrupt_cancel_each},
    {"interrupt-cancel-gather", interrupt_cancel_gather},
    {NULL, NULL},
};
