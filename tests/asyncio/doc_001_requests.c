/* doc_001_requests.c - document 001: what tasks do for requests, and not for computations. */
#include "tests/asyncio/doc_001.h"
#include "worker/runtime/executor.h"
#include "worker/runtime/gather.h"

/* Requests one after the other that block their thread: the times add up. No HTTP client: here and
 * below a sleep of the same length stands in its place. */
static void blocking_requests(void)
{
    for (const int *n = (const int[]){3, 5, 8, 0}; *n; n++) {
        block(*n);
        say("waited %d", *n);
    }
    say_cost("three pages", 16);
}

static int called(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)e;
    say("I am the coroutine");
    *ret_result = BOX("msg");
    return 0;
}

static int caller(void *arg, void **ret_result, struct err *e)
{
    void *v;
    (void)ret_result;
    say("I call the coroutine");
    int r = called(arg, &v, e);
    say("it returned: %s", TEXT(v));
    return r;
}

static int chain_main(void *arg, void **ret_result, struct err *e)
{
    say("I call who calls");
    return caller(arg, ret_result, e);
}

/* await is a call: in, and back with the value. */
static void call_order(void)
{
    play_task(chain_main);
}

static int request(void *arg, void **ret_result, struct err *e)
{
    (void)ret_result, (void)e;
    int r = nap(NUMBER(arg));
    if (r == 0)
        say("waited %d", NUMBER(arg));
    return r;
}

static int awaits_main(void *arg, void **ret_result, struct err *e)
{
    (void)arg;
    int r = request(BOX(3), ret_result, e);
    if (r == 0)
        r = request(BOX(5), ret_result, e);
    return r ? r : request(BOX(8), ret_result, e);
}

/* Awaiting one request after the other is as slow as blocking. */
static void not_concurrent(void)
{
    play_task(awaits_main);
    say_cost("three pages", 16);
}

static int tasks_main(void *arg, void **ret_result, struct err *e)
{
    static const int delays[] = {3, 5, 8};
    struct task *t[3];
    int r = 0;
    (void)arg, (void)ret_result;
    for (int i = 0; i < 3; i++)
        t[i] = need(task_create(request, BOX(delays[i]), NULL));
    say("three tasks");
    for (int i = 0; i < 3; i++) {
        r = r ? r : task_await(t[i], NULL, e);
        task_unref(t[i]);
    }
    return r;
}

/* As tasks they are under way together: the longest one is the time of all. */
static void by_create_task(void)
{
    play_task(tasks_main);
    say_cost("three pages", 8);
}

static int gathers_main(void *arg, void **ret_result, struct err *e)
{
    static const struct gather_call calls[] = {
        {request, BOX(3)}, {request, BOX(5)}, {request, BOX(8)}};
    (void)arg;
    struct future *f = need(gather_calls(calls, 3, 0));
    say("three tasks");
    int r = future_await(f, ret_result, e);
    *ret_result = NULL; /* the results go with f */
    future_unref(f);
    return r;
}

/* The same with gather. */
static void by_gather(void)
{
    play_task(gathers_main);
    say_cost("three pages", 8);
}

struct steps {
    const char *name;
    int units;
};

static int stepping(void *arg, void **ret_result, struct err *e)
{
    const struct steps *s = arg;
    (void)ret_result, (void)e;
    say("1 in %s", s->name);
    say("2 in %s", s->name);
    int r = nap(s->units);
    if (r == 0)
        say("3 %s end", s->name);
    return r;
}

static int no_await(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)ret_result, (void)e;
    say("1 without await");
    say("2 without await");
    return 0;
}

enum { AWAIT_FIRST = 1, AWAIT_SECOND = 2, SLEEP = 4 };

static int created_main(void *arg, void **ret_result, struct err *e)
{
    static struct steps first = {"task1", 3}, second = {"task2", 5};
    int wanted = NUMBER(arg), r = 0;
    (void)ret_result;
    say("===1===");
    struct task *t1 = need(task_create(stepping, &first, NULL));
    say("===2===");
    must(task_spawn(no_await, NULL, NULL));
    struct task *t2 = need(task_create(stepping, &second, NULL));
    if (wanted & AWAIT_FIRST)
        r = task_await(t1, NULL, e);
    say("===3===");
    if (wanted & AWAIT_SECOND)
        r = task_await(t2, NULL, e);
    if (wanted & SLEEP)
        r = nap(6);
    task_unref(t1), task_unref(t2);
    return r;
}

/* Created tasks that nobody awaits get one turn, and are cancelled when the main coroutine ends. */
static void created_unawaited(void)
{
    must(run(created_main, BOX(0), NULL, NULL));
}

/* With the first one awaited the second one is still cut off. */
static void created_first(void)
{
    must(run(created_main, BOX(AWAIT_FIRST), NULL, NULL));
    say_cost("over", 3);
}

/* With both awaited both come to their end. */
static void created_both(void)
{
    must(run(created_main, BOX(AWAIT_FIRST | AWAIT_SECOND), NULL, NULL));
    say_cost("over", 5);
}

/* A long sleep in the main coroutine does the same without an await of them. */
static void created_slept(void)
{
    must(run(created_main, BOX(SLEEP), NULL, NULL));
    say_cost("over", 6);
}

#define FIB_N 36

static int fib(int n)
{
    return n <= 2 ? 1 : fib(n - 1) + fib(n - 2);
}

/* A long computation. */
static void computed(void)
{
    say("fib %d", fib(FIB_N));
}

static int fib_task(void *arg, void **ret_result, struct err *e)
{
    void *a = BOX(1), *b = BOX(0);
    int n = NUMBER(arg);
    if (n > 2) {
        (void)fib_task(BOX(n - 1), &a, e);
        (void)fib_task(BOX(n - 2), &b, e);
    }
    *ret_result = BOX(NUMBER(a) + NUMBER(b));
    return 0;
}

static int say_fib_task(void *arg, void **ret_result, struct err *e)
{
    int r = fib_task(arg, ret_result, e);
    say("fib %d", NUMBER(*ret_result));
    return r;
}

static int request_begins(void *arg, void **ret_result, struct err *e)
{
    say("request sent");
    return request(arg, ret_result, e);
}

static int forced_main(void *arg, void **ret_result, struct err *e)
{
    static const struct gather_call calls[] = {{say_fib_task, BOX(FIB_N)},
                                               {request_begins, BOX(5)}};
    (void)arg;
    struct future *f = need(gather_calls(calls, 2, 0));
    int r = future_await(f, ret_result, e);
    *ret_result = NULL;
    future_unref(f);
    return r;
}

/* Awaits that never suspend keep the loop: the request is not even sent before the sum is there. */
static void computed_in_task(void)
{
    play_task(forced_main);
    say_cost("total", 5);
}

static int calc_fib(void *arg, void **ret_result, struct err *e)
{
    (void)e;
    *ret_result = BOX(fib(NUMBER(arg)));
    say("fib %d", NUMBER(*ret_result));
    return 0;
}

static int pool_main(void *arg, void **ret_result, struct err *e)
{
    struct executor *pool = need(executor_new(4));
    struct future *fs[] = {need(run_in_executor(pool, calc_fib, BOX(FIB_N))),
                           task_future(need(task_create(request, BOX(5), NULL)))};
    struct future *all = need(future_gather(fs, 2, 0));
    void *v;
    (void)arg, (void)ret_result;
    int r = future_await(all, &v, e);
    if (r == 0)
        say("gathered %d", NUMBER(((const struct gathered *)v)[0].value));
    future_unref(all), future_unref(fs[0]), future_unref(fs[1]);
    executor_shutdown(pool, true, false);
    executor_unref(pool);
    return r;
}

/* On a pool's thread the computation and the request go on side by side. */
static void computed_on_pool(void)
{
    play_task(pool_main);
    say_cost("total", 5);
}

static int one(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)e;
    *ret_result = BOX(1);
    return nap(1);
}

static int divides(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)ret_result;
    int r = nap(2);
    return r ? r : err_set(e, ERROR_ZERO_DIVISION, "division by zero");
}

static int errors_main(void *arg, void **ret_result, struct err *e)
{
    static const coro_fn bodies[] = {one, divides, divides};
    struct future *fs[3];
    void *v;
    (void)arg, (void)ret_result;
    for (int i = 0; i < 3; i++)
        fs[i] = task_future(need(task_create(bodies[i], NULL, NULL)));
    must(nap(2));
    expect(future_cancel(fs[2]), "a task that sleeps could not be cancelled");
    struct future *all = need(future_gather(fs, 3, GATHER_RETURN_ERRORS));
    int r = future_await(all, &v, e);
    const struct gathered *g = v;
    if (r == 0)
        say("[%d, %s, %s]", NUMBER(g[0].value), show_error(g[1].error),
            show_code(g[2].code, error_text(g[2].error)));
    future_unref(all);
    for (int i = 0; i < 3; i++)
        future_unref(fs[i]);
    return r;
}

/* gather with errors as results: a value, an error, and a task that was cancelled. */
static void errors_as_results(void)
{
    play_task(errors_main);
}

#define PAGES "waited 3", "waited 5", "waited 8"
#define BEGUN \
    "1 in task1", "2 in task1", "1 without await", "2 without await", "1 in task2", "2 in task2"

const struct example request_examples[] = {
    {"requests that block", blocking_requests, {PAGES, "three pages"}},
    {"order of calls",
     call_order,
     {"I call who calls", "I call the coroutine", "I am the coroutine", "it returned: msg"}},
    {"awaits alone", not_concurrent, {PAGES, "three pages"}},
    {"tasks", by_create_task, {"three tasks", PAGES, "three pages"}},
    {"gather", by_gather, {"three tasks", PAGES, "three pages"}},
    {"tasks, not awaited", created_unawaited, {"===1===", "===2===", "===3===", BEGUN}},
    {"tasks, one awaited",
     created_first,
     {"===1===", "===2===", BEGUN, "3 task1 end", "===3===", "over"}},
    {"tasks, both awaited",
     created_both,
     {"===1===", "===2===", BEGUN, "3 task1 end", "===3===", "3 task2 end", "over"}},
    {"tasks, slept over",
     created_slept,
     {"===1===", "===2===", "===3===", BEGUN, "3 task1 end", "3 task2 end", "over"}},
    {"a computation", computed, {"fib 14930352"}},
    {"a computation in a task",
     computed_in_task,
     {"fib 14930352", "request sent", "waited 5", "total"}},
    {"a computation on a pool",
     computed_on_pool,
     {"~fib 14930352", "waited 5", "gathered 14930352", "total"}},
    {"errors as results",
     errors_as_results,
     {"[1, ZeroDivisionError(division by zero), CancelledError()]"}},
    {NULL, NULL, {NULL}},
};
