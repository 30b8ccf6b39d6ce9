/* doc_000.c - document 000: the first steps, from run() to functions that block. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/asyncio/doc.h"
#include "worker/runtime/gather.h"
#include "worker/runtime/process_pool.h"
#include "worker/runtime/wait.h"

static int hello(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)e;
    say("Hello ...");
    int r = nap(1);
    if (r < 0)
        return r;
    say("... World!");
    *ret_result = BOX(7);
    return 0;
}

/* Two ways into the loop: run() makes and closes one; by hand it is four calls. A gather of one
 * coroutine needs a loop that is known, so here its task is made on the loop first. */
static void two_ways_in(void)
{
    play_task(hello);
    struct loop *l = need(loop_new(0));
    struct task *t = need(loop_create_task(l, hello, NULL, NULL));
    struct future *one = task_future(t), *all = need(future_gather(&one, 1, 0));
    void *v;
    must(loop_run_until_complete(l, all, &v, NULL));
    say("result %d", NUMBER(((const struct gathered *)v)[0].value));
    future_unref(all);
    task_unref(t);
    l = loop_free(l);
}

/* The smallest program: a coroutine that sleeps between two lines. */
static void basic(void)
{
    play_task(hello);
    say_cost("slept", 1);
}

static int late(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)ret_result, (void)e;
    int r = nap(1);
    if (r == 0)
        say("... World!");
    return r;
}

/* A sleep delays the rest of the coroutine; the coroutine object does nothing before it is run. */
static void delayed(void)
{
    struct coro *c = need(coro_new(late, NULL));
    coro_fn fn;
    void *arg;
    struct loop *l = need(loop_new(0));
    say("not begun");
    must(coro_consume(c, &fn, &arg, NULL));
    must(loop_run_coroutine(l, fn, arg, NULL, NULL));
    say_cost("slept", 1);
    l = loop_free(l);
    c = coro_free(c);
}

/* A task on a loop by hand: it runs when the loop does, and keeps its result. */
static void task_result_later(void)
{
    struct loop *l = need(loop_new(0));
    struct task *t = need(loop_create_task(l, hello, NULL, NULL));
    void *v;
    say("done: %s", yes(task_done(t)));
    must(loop_run_until_complete(l, task_future(t), NULL, NULL));
    l = loop_free(l);
    must(task_result(t, &v, NULL));
    say("done: %s, result %d", yes(task_done(t)), NUMBER(v));
    task_unref(t);
}

static int sleeper(void *arg, void **ret_result, struct err *e)
{
    (void)ret_result, (void)e;
    say("%s sleeps", TEXT(arg));
    int r = nap(1);
    say("%s wakes", TEXT(arg));
    return r;
}

static int multiple_main(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)ret_result;
    struct task *t1 = need(task_create(sleeper, BOX("1"), NULL)),
                *t2 = need(task_create(sleeper, BOX("2"), NULL));
    int r = task_await(t1, NULL, e);
    if (r == 0)
        r = task_await(t2, NULL, e);
    task_unref(t1), task_unref(t2);
    return r;
}

/* Two tasks sleep at the same time: both fall asleep before one wakes. */
static void concurrent(void)
{
    play_task(multiple_main);
    say_cost("both over", 1);
}

static int slow_ten(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)e;
    *ret_result = BOX(10);
    return nap(2);
}

static int failing(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)ret_result;
    int r = nap(1);
    return r < 0 ? r : err_set(e, -EINVAL, "spam");
}

static int gather_main(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)ret_result;
    struct gather_call calls[] = {{slow_ten, NULL}, {failing, NULL}};
    struct future *f = need(gather_calls(calls, 2, GATHER_RETURN_ERRORS));
    void *v;
    int r = future_await(f, &v, e);
    if (r == 0) {
        const struct gathered *g = v;
        say("[%d, %s]", NUMBER(g[0].value), show_error(g[1].error));
    }
    future_unref(f);
    return r;
}

/* gather: results in the order of the arguments, errors among them where that is asked for. */
static void gathered(void)
{
    play_task(gather_main);
}

static int numbered(void *arg, void **ret_result, struct err *e)
{
    (void)ret_result, (void)e;
    int r = nap(1);
    if (r == 0)
        say("... World! %d", NUMBER(arg));
    return r;
}

#define TEN 10

static int wait_main(void *arg, void **ret_result, struct err *e)
{
    struct future *fs[TEN];
    size_t done, pending;
    (void)arg, (void)ret_result;
    for (int i = 0; i < TEN; i++) {
        struct task *t = need(task_create(numbered, BOX(i), NULL));
        fs[i] = task_future(t); /* the same object: the reference is now fs[i]'s */
    }
    int r = future_wait(fs, TEN, -1, WAIT_ALL_COMPLETED, &done, &pending, e);
    if (r == 0)
        say("done %zu, pending %zu", done, pending);
    for (int i = 0; i < TEN; i++)
        future_unref(fs[i]);
    return r;
}

/* wait: what is done and what is not; it hands out futures, no results. */
static void waited(void)
{
    play_task(wait_main);
    say_cost("one sleep for all", 1);
}

static struct task *background[TEN];
static int background_count;

static void discard(struct future *f, void *arg)
{
    struct task **place = arg;
    expect(task_future(*place) == f, "the callback got another task than its own");
    task_unref(*place);
    *place = NULL;
    background_count--;
}

static int nothing(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)ret_result, (void)e;
    return nap(1);
}

static int background_main(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)ret_result, (void)e;
    for (int i = 0; i < TEN; i++) {
        background[i] = need(task_create(nothing, NULL, NULL));
        must(future_add_done_callback(task_future(background[i]), discard, &background[i]));
        background_count++;
    }
    say("background %d", background_count);
    int r = 0;
    while (r == 0 && background_count > 0)
        r = nap(1);
    say("background %d", background_count);
    return r;
}

/* Tasks that nobody awaits: a set holds them, a done callback takes each out of it again. */
static void background_set(void)
{
    play_task(background_main);
}

static int blocking_io(void *arg, void **ret_result, struct err *e)
{
    static char bytes[100];
    (void)arg;
    FILE *f = fopen("/dev/urandom", "rb");
    if (!f)
        return err_set(e, -errno, "/dev/urandom cannot be opened");
    *ret_result = BOX(fread(bytes, 1, sizeof bytes, f));
    (void)fclose(f);
    return 0;
}

/* In another process: the sum comes back as its bytes. */
static int cpu_bound(const void *arg, size_t len, void **ret_result, size_t *ret_len, struct err *e)
{
    int64_t *sum = calloc(1, sizeof *sum);
    (void)arg, (void)len;
    if (!sum)
        return err_set(e, -ENOMEM, "no memory for the sum");
    for (int64_t i = 0; i < 100000; i++)
        *sum += i * i;
    *ret_result = sum;
    *ret_len = sizeof *sum;
    return 0;
}

static const struct process_function functions[] = {{"cpu_bound", cpu_bound}, {NULL, NULL}};

static void *on_pool(struct executor *x, executor_fn fn, void *arg)
{
    struct future *f = need(run_in_executor(x, fn, arg));
    void *v;
    must(future_await(f, &v, NULL));
    future_unref(f);
    return v;
}

static void compute_elsewhere(void)
{
    struct executor *pool = need(executor_new_processes(0));
    struct future *f = need(run_in_process(pool, "cpu_bound", NULL, 0, NULL));
    void *v;
    must(future_await(f, &v, NULL));
    const struct process_bytes *sum = v;
    say("custom process pool, %lld", (long long)*(const int64_t *)(const void *)sum->data);
    future_unref(f);
    executor_shutdown(pool, true, false);
    executor_unref(pool);
}

static int pools_main(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)ret_result, (void)e;
    say("default thread pool, %d bytes", NUMBER(on_pool(NULL, blocking_io, NULL)));
    struct executor *own = need(executor_new(0));
    say("custom thread pool, %d bytes", NUMBER(on_pool(own, blocking_io, NULL)));
    executor_shutdown(own, true, false);
    executor_unref(own);
    compute_elsewhere();
    return 0;
}

/* Functions that block run on a pool's threads, the default one or one's own; what computes runs in
 * other processes. */
static void pools(void)
{
    play_task(pools_main);
}

/* The error of a loop that was closed too early. */
static void closed_loop(void)
{
    struct loop *l = need(loop_new(0));
    struct err e;
    must(loop_close(l, NULL));
    expect(loop_run_coroutine(l, hello, NULL, NULL, &e) == ERROR_CLOSED, "a closed loop ran");
    say("%s", show(&e));
    l = loop_free(l);
}

static const struct example examples[] = {
    {"run, and a gather by hand",
     two_ways_in,
     {"Hello ...", "... World!", "Hello ...", "... World!", "result 7"}},
    {"the first program", basic, {"Hello ...", "... World!", "slept"}},
    {"a delayed line", delayed, {"not begun", "... World!", "slept"}},
    {"a task's result",
     task_result_later,
     {"done: false", "Hello ...", "... World!", "done: true, result 7"}},
    {"two tasks", concurrent, {"1 sleeps", "2 sleeps", "1 wakes", "2 wakes", "both over"}},
    {"gather", gathered, {"[10, ValueError(spam)]"}},
    {"wait",
     waited,
     {"... World! 0", "... World! 1", "... World! 2", "... World! 3", "... World! 4",
      "... World! 5", "... World! 6", "... World! 7", "... World! 8", "... World! 9",
      "done 10, pending 0", "one sleep for all"}},
    {"background tasks", background_set, {"background 10", "background 0"}},
    {"functions that block",
     pools,
     {"default thread pool, 100 bytes", "custom thread pool, 100 bytes",
      "custom process pool, 333328333350000"}},
    {"a closed loop", closed_loop, {"RuntimeError(Event loop is closed)"}},
    {NULL, NULL, {NULL}},
};

int main(int argc, char **argv)
{
    process_pool_child(argc, argv, functions);
    return document(examples);
}
