/* doc_001.c - document 001: from generators to tasks; doc_001_requests.c goes on with requests. */
#include "tests/asyncio/doc_001.h"
#include "worker/runtime/gather.h"
#include "worker/runtime/wait.h"

/* Two functions, one after the other: the second begins when the first is over. */
static void serial(void)
{
    for (int i = 0; i < 3; i++)
        say("%d", i);
    for (char c = 'a'; c <= 'c'; c++)
        say("%c", c);
}

static int yield_text(void *arg, void **ret_result, struct err *e)
{
    (void)ret_result;
    int r = 0;
    for (const char *c = arg; r == 0 && *c; c++) {
        say("%c", *c);
        r = coro_yield(e);
    }
    return r;
}

/* Generators: bodies that give up control, and somebody who resumes them in turn, without a loop.
 */
static void generators(void)
{
    struct coro *x = need(coro_new(yield_text, BOX("012"))),
                *y = need(coro_new(yield_text, BOX("abc")));
    for (int i = 0; i < 3; i++) {
        expect(coro_resume(x, NULL, NULL) == 1, "the first generator ended early");
        expect(coro_resume(y, NULL, NULL) == 1, "the second generator ended early");
    }
    x = coro_free(x), y = coro_free(y);
}

/* The function is not the object. C's types tell them apart; the object runs nothing by itself. */
static void object_and_function(void)
{
    coro_fn function = yield_text;
    struct coro *object = need(coro_new(function, BOX("a")));
    say("made");
    expect(coro_resume(object, NULL, NULL) == 1, "the body did not yield");
    object = coro_free(object);
}

static int sleep_loop(void *arg, void **ret_result, struct err *e)
{
    int r = 0;
    (void)e;
    for (int i = 0; r == 0 && i < NUMBER(arg); i++) {
        say("%d ~~~~", i);
        r = nap(1);
    }
    *ret_result = BOX(1000);
    return r;
}

/* The loop by hand, until one coroutine is complete. */
static void until_complete(void)
{
    struct loop *l = need(loop_new(0));
    must(loop_run_coroutine(l, sleep_loop, BOX(3), NULL, NULL));
    say_cost("complete", 3);
    l = loop_free(l);
}

static const char *state(struct future *f)
{
    return future_done(f) ? "finished" : "pending";
}

static int wrap(void *arg, void **ret_result, struct err *e)
{
    struct future **ret_future = arg;
    struct coro *c = need(coro_new(sleep_loop, BOX(3)));
    (void)ret_result, (void)e;
    *ret_future = need(ensure_future(c));
    say("1 %s +++++", state(*ret_future));
    c = coro_free(c);
    return 0;
}

static int number_of(struct future *f)
{
    void *v;
    must(future_result(f, &v, NULL));
    return NUMBER(v);
}

/* ensure_future makes a task of a coroutine object. It asks for a running loop here, so a first
 * short run makes it: the task takes its first turn in that run's last iteration. */
static void ensured(void)
{
    struct loop *l = need(loop_new(0));
    struct future *f;
    must(loop_run_coroutine(l, wrap, &f, NULL, NULL));
    expect(task_of(f) != NULL, "ensure_future gave no task");
    expect(ensure_future(f) == f, "a future was wrapped again");
    future_unref(f);
    must(loop_run_until_complete(l, f, NULL, NULL));
    say("2 %s +++++", state(f));
    l = loop_free(l);
    say("3 %d ------", number_of(f));
    future_unref(f);
}

/* The same through create_task: pending before the run, finished after it. */
static void created(void)
{
    struct loop *l = need(loop_new(0));
    struct future *f = task_future(need(loop_create_task(l, sleep_loop, BOX(3), NULL)));
    say("1 %s +++++", state(f));
    must(loop_run_until_complete(l, f, NULL, NULL));
    say("2 %s +++++", state(f));
    l = loop_free(l);
    future_unref(f);
}

static void on_done(struct future *f, void *arg)
{
    (void)arg;
    say("in callback: %s", state(f));
    say("%d ========", number_of(f));
}

/* A done callback runs when the task is finished, before who runs the loop gets the result; the
 * result stays in the future when the loop is gone. */
static void callback(void)
{
    struct loop *l = need(loop_new(0));
    struct future *f = task_future(need(loop_create_task(l, sleep_loop, BOX(3), NULL)));
    void *v;
    say("1 %s +++++", state(f));
    must(future_add_done_callback(f, on_done, NULL));
    say("2 %s -----", state(f));
    must(loop_run_until_complete(l, f, &v, NULL));
    say("------");
    l = loop_free(l);
    block(1);
    say("3 %d", number_of(f));
    say("4 %d", NUMBER(v));
    future_unref(f);
}

struct counted {
    const char *name, *items, *result;
    int pause; /* units; 0: a bare yield */
};

static struct counted yields[] = {{"a", "012", "a() finished", 0},
                                  {"b", "abcdefg", "b() finished", 0}},
                      sleeps[] = {{"a", "012", "a() finished", 2},
                                  {"b", "abcdefg", "b() finished", 2}};

static int count(void *arg, void **ret_result, struct err *e)
{
    const struct counted *x = arg;
    int r = 0;
    (void)e;
    for (const char *c = x->items; r == 0 && *c; c++) {
        say("%c in func %s()", *c, x->name);
        r = nap(x->pause);
    }
    *ret_result = BOX(x->result);
    return r;
}

static void say_result(struct future *f, void *arg)
{
    void *v;
    (void)arg;
    must(future_result(f, &v, NULL));
    say("%s ~~~~~~", TEXT(v));
}

static void make_two(struct future *fs[2], struct counted *of, bool with_callback)
{
    for (int i = 0; i < 2; i++) {
        fs[i] = task_future(need(task_create(count, &of[i], NULL)));
        if (with_callback)
            must(future_add_done_callback(fs[i], say_result, NULL));
    }
}

static int wait_main(void *arg, void **ret_result, struct err *e)
{
    struct future *fs[2];
    size_t done, pending;
    void *a, *b;
    (void)ret_result;
    make_two(fs, yields, NUMBER(arg));
    int r = future_wait(fs, 2, -1, WAIT_ALL_COMPLETED, &done, &pending, e);
    must(future_result(fs[0], &a, NULL));
    must(future_result(fs[1], &b, NULL));
    say("done {%s, %s}, pending %zu", TEXT(a), TEXT(b), pending);
    future_unref(fs[0]), future_unref(fs[1]);
    return r;
}

/* Many tasks: each yield lets the other one go on, the longer one finishes alone. */
static void many(void)
{
    must(run(wait_main, BOX(false), NULL, NULL));
}

/* The same with done callbacks: one comes an iteration after its task's last step. */
static void many_callbacks(void)
{
    must(run(wait_main, BOX(true), NULL, NULL));
}

static int gather_main(void *arg, void **ret_result, struct err *e)
{
    struct future *fs[2];
    void *v;
    (void)arg, (void)ret_result;
    make_two(fs, sleeps, true);
    struct future *all = need(future_gather(fs, 2, 0));
    int r = future_await(all, &v, e);
    if (r == 0) {
        const struct gathered *g = v;
        say("[%s, %s]", TEXT(g[0].value), TEXT(g[1].value));
    }
    future_unref(all), future_unref(fs[0]), future_unref(fs[1]);
    return r;
}

/* The newer words for it: run, create_task, sleep and gather. */
static void newer_words(void)
{
    play_task(gather_main);
}

#define COUNTED "0 ~~~~", "1 ~~~~", "2 ~~~~"
#define TOGETHER                                                                         \
    "0 in func a()", "a in func b()", "1 in func a()", "b in func b()", "2 in func a()", \
        "c in func b()"

static const struct example examples[] = {
    {"one after the other", serial, {"0", "1", "2", "a", "b", "c"}},
    {"generators in turn", generators, {"0", "a", "1", "b", "2", "c"}},
    {"object and function", object_and_function, {"made", "a"}},
    {"until complete", until_complete, {COUNTED, "complete"}},
    {"ensure_future", ensured, {"1 pending +++++", COUNTED, "2 finished +++++", "3 1000 ------"}},
    {"create_task", created, {"1 pending +++++", COUNTED, "2 finished +++++"}},
    {"a callback",
     callback,
     {"1 pending +++++", "2 pending -----", COUNTED, "in callback: finished",
      "1000 ========", "------", "3 1000", "4 1000"}},
    {"many tasks",
     many,
     {TOGETHER, "d in func b()", "e in func b()", "f in func b()", "g in func b()",
      "done {a() finished, b() finished}, pending 0"}},
    {"many callbacks",
     many_callbacks,
     {TOGETHER, "d in func b()", "a() finished ~~~~~~", "e in func b()", "f in func b()",
      "g in func b()", "b() finished ~~~~~~", "done {a() finished, b() finished}, pending 0"}},
    {"newer words",
     newer_words,
     /* a's last sleep and b's end within the same moment */
     {TOGETHER, "~a() finished ~~~~~~", "d in func b()", "e in func b()", "f in func b()",
      "g in func b()", "b() finished ~~~~~~", "[a() finished, b() finished]"}},
    {NULL, NULL, {NULL}},
};

int main(void)
{
    return document(examples) | document(request_examples);
}
