/* conf_executor.c - scenarios of the areas "executor" and "to_thread": threads. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>

#include "tests/asyncio/conf_gather.h"
#include "worker/runtime/context.h"
#include "worker/runtime/executor.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

static void close_pool(struct executor *pool)
{
    executor_shutdown(pool, true, false);
    executor_unref(pool);
}

/* Awaits f and drops it. */
static int end_of(struct future *f, void **ret_result, struct err *e)
{
    int r = future_await(f, ret_result, e);
    future_unref(f);
    return r;
}

static void play(coro_fn fn)
{
    must(run(fn, NULL, NULL, NULL));
}

/* -- executor-bounded -- */

struct timed {
    int number, length, from, to;
};

static int timed_job(void *arg, void **ret_result, struct err *e)
{
    struct timed *j = arg;
    (void)e;
    j->from = units();
    block(j->length);
    j->to = units();
    *ret_result = BOX(j->number);
    return 0;
}

static void say_alive(void *arg)
{
    (void)arg;
    tout("loop alive");
}

static int bounded_main(void *arg, void **ret_result, struct err *e)
{
    struct timed jobs[] = {{1, 2, 0, 0}, {2, 3, 0, 0}, {3, 2, 0, 0}, {4, 3, 0, 0}, {5, 1, 0, 0}};
    struct future *f[COUNT(jobs)];
    const struct gathered *n;
    struct executor *pool = need(executor_new(2));
    (void)arg, (void)ret_result, (void)e;
    start_clock();
    (void)need(later(loop_running(), 1, say_alive, NULL));
    for (size_t i = 0; i < COUNT(jobs); i++)
        f[i] = need(run_in_executor(pool, timed_job, &jobs[i]));
    struct future *all = gather_all(f, COUNT(jobs), &n);
    tout("[%d, %d, %d, %d, %d]", NUMBER(n[0].value), NUMBER(n[1].value), NUMBER(n[2].value),
         NUMBER(n[3].value), NUMBER(n[4].value));
    future_unref(all);
    close_pool(pool);
    for (size_t i = 0; i < COUNT(jobs); i++)
        out("job %d from %d to %d", jobs[i].number, jobs[i].from, jobs[i].to);
    return 0;
}

static void executor_bounded(void)
{
    play(bounded_main);
}

/* -- executor-cancel -- */

struct listed {
    int number, length;
    int *ran;
};

static int listed_job(void *arg, void **ret_result, struct err *e)
{
    struct listed *j = arg;
    (void)ret_result, (void)e;
    block(j->length);
    int *place = j->ran; /* only the pool's one thread writes the list */
    while (*place)
        place++;
    *place = j->number;
    return 0;
}

static int cancel_main(void *arg, void **ret_result, struct err *e)
{
    int ran[4] = {0};
    struct listed j1 = {1, 3, ran}, j2 = {2, 1, ran}, j3 = {3, 1, ran};
    struct executor *pool = need(executor_new(1));
    struct err why;
    (void)arg, (void)ret_result;
    start_clock();
    struct future *f1 = need(run_in_executor(pool, listed_job, &j1)),
                  *f2 = need(run_in_executor(pool, listed_job, &j2));
    must(nap(1));
    bool first = future_cancel(f1), second = future_cancel(f2);
    tout("cancel returns %s %s", yes(first), yes(second));
    (void)end_of(f1, NULL, &why);
    tout("await raised %s", show(&why));
    (void)end_of(f2, NULL, &why);
    tout("await raised %s", show(&why));
    must(nap(1));
    must(end_of(need(run_in_executor(pool, listed_job, &j3)), NULL, e));
    tout("job %d", j3.number);
    close_pool(pool);
    out("ran [%d, %d]", ran[0], ran[1]);
    return 0;
}

static void executor_cancel(void)
{
    play(cancel_main);
}

/* -- executor-exception -- */

static int bad_value(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)ret_result;
    block(1);
    return err_set(e, -EINVAL, "in thread");
}

static int bad_system(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)ret_result;
    block(1);
    return err_set(e, -EIO, "later");
}

static int fine(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)e;
    *ret_result = BOX("fine");
    return 0;
}

static int exception_main(void *arg, void **ret_result, struct err *e)
{
    struct executor *pool = need(executor_new(1));
    const struct error *x;
    struct err why;
    void *v;
    (void)arg, (void)ret_result;
    start_clock();
    (void)end_of(need(run_in_executor(pool, bad_value, NULL)), NULL, &why);
    tout("caught %s", show(&why));
    struct future *f = need(run_in_executor(pool, bad_system, NULL));
    must(nap(2));
    must(future_exception(f, &x, e));
    tout("exception() %s", show_error(x));
    future_unref(f);
    must(end_of(need(run_in_executor(pool, fine, NULL)), &v, e));
    tout("%s", TEXT(v));
    close_pool(pool);
    return 0;
}

static void executor_exception(void)
{
    play(exception_main);
}

/* -- executor-set-default -- */

static int which_thread(void *arg, void **ret_result, struct err *e)
{
    (void)e;
    block(NUMBER(arg));
    *ret_result = (void *)pthread_self();
    return 0;
}

static int default_main(void *arg, void **ret_result, struct err *e)
{
    struct executor *pool = need(executor_new(1));
    const struct gathered *id;
    struct err why;
    (void)arg, (void)ret_result;
    start_clock();
    must(loop_set_default_executor(loop_running(), pool));
    executor_unref(pool);
    struct future *two[] = {need(run_in_executor(NULL, which_thread, BOX(1))),
                            need(run_in_executor(NULL, which_thread, BOX(2)))};
    struct future *both = gather_all(two, 2, &id);
    tout("same thread: %s the loop's thread: %s", yes(id[0].value == id[1].value),
         yes(id[0].value == (void *)pthread_self()));
    future_unref(both);
    struct future *f = need(run_in_executor(NULL, which_thread, BOX(2)));
    must(loop_shutdown_default_executor(loop_running(), e));
    tout("shut down");
    must(task_sleep(0));
    tout("third job done: %s", yes(future_done(f)));
    future_unref(f);
    if (!run_in_executor(NULL, which_thread, BOX(1))) {
        (void)error_set(&why, -errno);
        tout("%s", show(&why));
    }
    return 0;
}

static void executor_set_default(void)
{
    play(default_main);
}

/* -- to-thread -- */

struct download {
    const char *url;
    int size, timeout;
    const char *label;
    char text[64];
};

static int download(void *arg, void **ret_result, struct err *e)
{
    struct download *d = arg;
    (void)e;
    block(2);
    (void)snprintf(d->text, sizeof d->text, "%s size=%d timeout=%d label=%s", d->url, d->size,
                   d->timeout, d->label);
    *ret_result = d->text;
    return 0;
}

static int download_in_thread(void *arg, void **ret_result, struct err *e)
{
    return to_thread(download, arg, ret_result, e);
}

static int bad_url(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)ret_result;
    return err_set(e, -EINVAL, "bad url");
}

static int set_ran(void *arg, void **ret_result, struct err *e)
{
    (void)ret_result, (void)e;
    *(bool *)arg = true;
    return 0;
}

static int ran_in_thread(void *arg, void **ret_result, struct err *e)
{
    return to_thread(set_ran, arg, ret_result, e);
}

static int to_thread_main(void *arg, void **ret_result, struct err *e)
{
    struct download one = {"u1", 1, 10, "x", ""};
    struct download more[] = {{"u2", 2, 3, "y", ""}, {"u3", 3, 3, "y", ""}, {"u4", 4, 3, "y", ""}};
    struct future *f[COUNT(more)];
    const struct gathered *lines;
    struct err why;
    bool ran = false;
    void *v;
    (void)arg, (void)ret_result;
    start_clock();
    must(to_thread(download, &one, &v, e));
    tout("%s", TEXT(v));
    for (size_t i = 0; i < COUNT(more); i++)
        f[i] = task_future(need(task_create(download_in_thread, &more[i], NULL)));
    struct future *all = gather_all(f, COUNT(more), &lines);
    for (size_t i = 0; i < COUNT(more); i++)
        tout("%s", TEXT(lines[i].value));
    future_unref(all);
    (void)to_thread(bad_url, NULL, NULL, &why);
    tout("raised %s", show(&why));
    struct coro *c = need(coro_new(ran_in_thread, &ran));
    must(nap(1));
    (void)coro_free(c);
    tout("never awaited, ran: %s", yes(ran));
    return 0;
}

static void to_thread_play(void)
{
    play(to_thread_main);
}

/* -- to-thread-context -- */

static const struct context_var request = {.name = "request", .fallback = BOX("unset")};

struct seen {
    const char *before, *after;
};

static int read_and_change(void *arg, void **ret_result, struct err *e)
{
    struct seen *s = arg;
    (void)ret_result, (void)e;
    s->before = context_get(&request);
    must(context_set(&request, BOX("changed")));
    s->after = context_get(&request);
    return 0;
}

static int read_request(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)e;
    *ret_result = context_get(&request);
    return 0;
}

static int set_and_read(void *arg, void **ret_result, struct err *e)
{
    must(context_set(&request, arg));
    must(task_sleep(0));
    return to_thread(read_request, NULL, ret_result, e);
}

static int context_main(void *arg, void **ret_result, struct err *e)
{
    const struct gathered *seen;
    struct seen s;
    void *v;
    (void)arg, (void)ret_result;
    must(context_set(&request, BOX("r1")));
    must(to_thread(read_and_change, &s, NULL, e));
    out("in thread [%s, %s]", s.before, s.after);
    out("in main %s", TEXT(context_get(&request)));
    must(end_of(need(run_in_executor(NULL, read_request, NULL)), &v, e));
    out("run_in_executor %s", TEXT(v));
    struct future *two[] = {task_future(need(task_create(set_and_read, BOX("r2"), NULL))),
                            task_future(need(task_create(set_and_read, BOX("r3"), NULL)))};
    struct future *both = gather_all(two, 2, &seen);
    out("tasks %s", show_gathered(seen, 2));
    out("in main %s", TEXT(context_get(&request)));
    future_unref(both);
    return 0;
}

static void to_thread_context(void)
{
    play(context_main);
}

/* -- run-waits-for-default-executor -- */

static int slow_job(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)ret_result, (void)e;
    tout("job starts");
    block(3);
    tout("job ends");
    return 0;
}

static int leaves_main(void *arg, void **ret_result, struct err *e)
{
    struct future *f = need(run_in_executor(NULL, slow_job, NULL));
    (void)arg, (void)ret_result, (void)e;
    must(nap(1));
    tout("main ends, job done: %s", yes(future_done(f)));
    future_unref(f);
    return 0;
}

static void run_waits(void)
{
    start_clock();
    play(leaves_main);
    tout("run returned");
}

/* -- cpu-inline-vs-executor -- */

/* A coroutine that awaits itself and never suspends: it runs in a task, and on a thread as well. */
static int fib(void *arg, void **ret_result, struct err *e)
{
    void *a = BOX(1), *b = BOX(0);
    if (NUMBER(arg) > 2) {
        must(fib(BOX(NUMBER(arg) - 1), &a, e));
        must(fib(BOX(NUMBER(arg) - 2), &b, e));
    }
    *ret_result = BOX(NUMBER(a) + NUMBER(b));
    return 0;
}

static int crunch(void *arg, void **ret_result, struct err *e)
{
    (void)arg;
    int r = fib(BOX(15), ret_result, e);
    block(3);
    tout("fib is %d", NUMBER(*ret_result));
    return r;
}

static int ask(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)ret_result, (void)e;
    tout("request starts");
    must(nap(1));
    tout("request ends");
    return 0;
}

static int cpu_main(void *arg, void **ret_result, struct err *e)
{
    const struct gather_call calls[] = {{crunch, NULL}, {ask, NULL}};
    const struct gathered *r;
    (void)arg, (void)ret_result;
    start_clock();
    must(end_of(need(gather_calls(calls, COUNT(calls), 0)), NULL, e));
    tout("round 1 over");
    start_clock();
    struct executor *pool = need(executor_new(4));
    struct future *f[] = {need(run_in_executor(pool, crunch, NULL)),
                          task_future(need(task_create(ask, NULL, NULL)))};
    struct future *both = gather_all(f, COUNT(f), &r);
    close_pool(pool);
    tout("round 2 over [%d, %s]", NUMBER(r[0].value), r[1].value ? "a value" : "none");
    future_unref(both);
    return 0;
}

static void cpu_inline_vs_executor(void)
{
    play(cpu_main);
}

const struct scenario executor_scenarios[] = {
    {"cpu-inline-vs-executor", cpu_inline_vs_executor},
    {"executor-bounded", executor_bounded},
    {"executor-cancel", executor_cancel},
    {"executor-exception", executor_exception},
    {"executor-set-default", executor_set_default},
    {"run-waits-for-default-executor", run_waits},
    {"to-thread", to_thread_play},
    {"to-thread-context", to_thread_context},
    {0},
};
