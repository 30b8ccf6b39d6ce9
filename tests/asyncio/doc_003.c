/* doc_003.c - document 003: gather, nested coroutines, functions that block, run() inside. */
#include "tests/asyncio/doc.h"
#include "worker/runtime/context.h"
#include "worker/runtime/executor.h"
#include "worker/runtime/gather.h"

/* Awaits the gather of new tasks; their results, which live as long as *ret_future. */
static const struct gathered *gather(const struct gather_call *calls, size_t count,
                                     struct future **ret_future)
{
    void *v;
    *ret_future = need(gather_calls(calls, count, 0));
    must(future_await(*ret_future, &v, NULL));
    return v;
}

static int count(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)ret_result, (void)e;
    say("One");
    int r = nap(1);
    if (r == 0)
        say("Two");
    return r;
}

static int counts_main(void *arg, void **ret_result, struct err *e)
{
    static const struct gather_call calls[] = {{count, NULL}, {count, NULL}, {count, NULL}};
    struct future *f;
    (void)arg, (void)ret_result, (void)e;
    (void)gather(calls, 3, &f);
    future_unref(f);
    return 0;
}

/* The same function three times at once: all begin before one goes on. */
static void three_counts(void)
{
    play_task(counts_main);
    say_cost("counted", 1);
}

struct maker {
    int number, threshold;
    const int *draws; /* in place of the random numbers */
};

static const struct maker makers[] = {
    {0, 9, (const int[]){4, 10}},
    {1, 8, (const int[]){4, 10}},
    {2, 7, (const int[]){0, 8}},
};

static int make_random(void *arg, void **ret_result, struct err *e)
{
    const struct maker *m = arg;
    const int *draw = m->draws;
    int r = 0;
    (void)e;
    say("begin %d", m->number);
    for (; r == 0 && *draw <= m->threshold; draw++) {
        say("%d: %d is too low", m->number, *draw);
        r = nap(m->number + 1);
    }
    say("end %d: %d", m->number, *draw);
    *ret_result = BOX(*draw);
    return r;
}

static int random_main(void *arg, void **ret_result, struct err *e)
{
    struct gather_call calls[3];
    struct future *f;
    (void)arg, (void)ret_result, (void)e;
    for (int i = 0; i < 3; i++)
        calls[i] = (struct gather_call){make_random, BOX(&makers[i])};
    const struct gathered *g = gather(calls, 3, &f);
    say("r1: %d, r2: %d, r3: %d", NUMBER(g[0].value), NUMBER(g[1].value), NUMBER(g[2].value));
    future_unref(f);
    return 0;
}

/* Each draws until its number is high enough and sleeps in between; gather keeps the order. */
static void randoms(void)
{
    play_task(random_main);
}

struct page {
    const char *url;
    int units, timeout;
};

static struct page pages[] = {{"x/1.jpg", 1, 10}, {"x/2.jpg", 2, 10}, {"x/3.jpg", 3, 10}};

/* No HTTP client: sleeping as long as the download stands in its place. */
static int download(void *arg, void **ret_result, struct err *e)
{
    const struct page *p = arg;
    (void)e;
    block(p->units);
    *ret_result = BOX(p->units < p->timeout ? p->url : NULL);
    return 0;
}

static int fetch_in_executor(void *arg, void **ret_result, struct err *e)
{
    const struct page *p = arg;
    say("begin %s", p->url);
    struct future *f = need(run_in_executor(NULL, download, arg));
    int r = future_await(f, ret_result, e);
    future_unref(f);
    say("downloaded");
    return r;
}

static int fetch_in_thread(void *arg, void **ret_result, struct err *e)
{
    int r = to_thread(download, arg, ret_result, e);
    say("downloaded");
    return r;
}

static void fetch_all(coro_fn fetch)
{
    struct gather_call calls[3];
    struct future *f;
    for (int i = 0; i < 3; i++)
        calls[i] = (struct gather_call){fetch, &pages[i]};
    const struct gathered *g = gather(calls, 3, &f);
    for (int i = 0; i < 3; i++)
        say("file %s", TEXT(g[i].value));
    future_unref(f);
}

static int executor_main(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)ret_result, (void)e;
    fetch_all(fetch_in_executor);
    return 0;
}

/* A function that blocks, wrapped by run_in_executor: the downloads go on side by side. */
static void wrapped(void)
{
    play_task(executor_main);
    say_cost("three files", 3);
}

static int thread_main(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)ret_result, (void)e;
    fetch_all(fetch_in_thread);
    return 0;
}

/* to_thread is the short way. Many arguments are one struct in C, for both ways. */
static void threaded(void)
{
    play_task(thread_main);
    say_cost("three files", 3);
}

static const struct context_var user = {"user", BOX("nobody")};

static int read_user(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)e;
    *ret_result = context_get(&user);
    must(context_set(&user, BOX("thread"))); /* in the copy */
    return 0;
}

static int context_main(void *arg, void **ret_result, struct err *e)
{
    void *seen;
    (void)arg, (void)ret_result;
    must(context_set(&user, BOX("task")));
    int r = to_thread(read_user, NULL, &seen, e);
    say("the thread saw %s", TEXT(seen));
    say("the task has %s", TEXT(context_get(&user)));
    return r;
}

/* What to_thread adds to run_in_executor: the function runs in a copy of the task's context. */
static void context_in_thread(void)
{
    play_task(context_main);
}

static int inner(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)e;
    say("inner");
    *ret_result = BOX(3);
    return 0;
}

static int nested_main(void *arg, void **ret_result, struct err *e)
{
    struct err why;
    (void)arg, (void)ret_result, (void)e;
    expect(run(inner, NULL, NULL, &why) == ERROR_NESTED_RUN, "run() inside of run() worked");
    say("run: %s", show(&why));
    return 0;
}

/* run() asks first whether this thread runs a loop already. (Python says "asyncio.run()".) */
static void nested_run(void)
{
    play_task(nested_main);
}

static int leftover(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)ret_result, (void)e;
    int r = nap(9);
    say("left over: %s", error_kind(r));
    return r;
}

static int leaving_main(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)ret_result, (void)e;
    must(task_spawn(leftover, NULL, NULL));
    must(nap(1));
    say("main ends");
    return 0;
}

/* At its end run() cancels the tasks that are left, and waits for them. */
static void run_ends(void)
{
    play_task(leaving_main);
    say("run returned");
}

/* The least that one does by hand in place of run(). */
static void loop_by_hand(void)
{
    struct loop *l = need(loop_new(0));
    void *v;
    must(loop_run_coroutine(l, inner, NULL, &v, NULL));
    say("result %d", NUMBER(v));
    l = loop_free(l);
}

static const struct example examples[] = {
    {"the simplest", three_counts, {"One", "One", "One", "Two", "Two", "Two", "counted"}},
    {"random numbers",
     randoms,
     {"begin 0", "0: 4 is too low", "begin 1", "1: 4 is too low", "begin 2", "2: 0 is too low",
      "end 0: 10", "end 1: 10", "end 2: 8", "r1: 10, r2: 10, r3: 8"}},
    {"run_in_executor",
     wrapped,
     {"begin x/1.jpg", "begin x/2.jpg", "begin x/3.jpg", "downloaded", "downloaded", "downloaded",
      "file x/1.jpg", "file x/2.jpg", "file x/3.jpg", "three files"}},
    {"to_thread",
     threaded,
     {"downloaded", "downloaded", "downloaded", "file x/1.jpg", "file x/2.jpg", "file x/3.jpg",
      "three files"}},
    {"context", context_in_thread, {"the thread saw task", "the task has task"}},
    {"run inside of run",
     nested_run,
     {"run: RuntimeError(run() cannot be called from a running event loop)"}},
    {"the end of run", run_ends, {"main ends", "left over: CancelledError", "run returned"}},
    {"a loop by hand", loop_by_hand, {"inner", "result 3"}},
    {NULL, NULL, {NULL}},
};

int main(void)
{
    return document(examples);
}
