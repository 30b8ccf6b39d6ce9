/* doc_004.c - document 004: gather and wait compared, ways to a task, shield, timed blocks. */
#include <errno.h>

#include "tests/asyncio/doc.h"
#include "worker/runtime/gather.h"
#include "worker/runtime/shield.h"
#include "worker/runtime/wait.h"

struct sleeper {
    const char *name;
    const char *result;
    int units;
};

static struct sleeper a = {"a", "A", 3}, b = {"b", "B", 1};

static int suspend(void *arg, void **ret_result, struct err *e)
{
    const struct sleeper *s = arg;
    (void)e;
    say("Suspending %s", s->name);
    int r = nap(s->units);
    if (r < 0)
        return r;
    say("Resuming %s", s->name);
    *ret_result = BOX(s->result);
    return 0;
}

static struct future *start(struct sleeper *s)
{
    return task_future(need(task_create(suspend, s, NULL)));
}

static const char *outcome(const struct gathered *g)
{
    return g->code ? show_code(g->code, error_text(g->error)) : TEXT(g->value);
}

/* Awaits f, a gather of two, prints what it came to, and drops it. */
static void say_gathered(struct future *f)
{
    struct err e;
    void *v;
    if (future_await(f, &v, &e) < 0) {
        say("raised %s", show(&e));
    } else {
        const struct gathered *g = v;
        say("[%s, %s]", outcome(&g[0]), outcome(&g[1]));
    }
    future_unref(f);
}

static int gather_main(void *arg, void **ret_result, struct err *e)
{
    static const struct gather_call calls[] = {{suspend, &a}, {suspend, &b}};
    (void)arg, (void)ret_result, (void)e;
    say_gathered(need(gather_calls(calls, 2, 0)));
    return 0;
}

/* gather: the results alone, in the order of the arguments, whichever came first. */
static void gathered(void)
{
    play_task(gather_main);
    say_cost("both over", 3);
}

static int wait_main(void *arg, void **ret_result, struct err *e)
{
    enum wait_when when = (enum wait_when)NUMBER(arg);
    struct future *fs[] = {start(&a), start(&b)};
    size_t done, pending;
    void *v;
    (void)ret_result;
    int r = future_wait(fs, 2, -1, when, &done, &pending, e);
    say("done %zu, pending %zu", done, pending);
    for (size_t i = 0; r == 0 && i < done; i++) {
        must(future_result(fs[i], &v, NULL));
        say("result %s", TEXT(v));
    }
    for (size_t i = done; r == 0 && i < done + pending; i++)
        say("%s", future_done(fs[i]) ? "done after all" : "pending");
    future_unref(fs[0]), future_unref(fs[1]);
    return r;
}

/* wait: the futures themselves, sorted into done and pending; each is asked for its result. Sets
 * have no order in Python; here done ones keep that of the array. */
static void wait_all(void)
{
    must(run(wait_main, BOX(WAIT_ALL_COMPLETED), NULL, NULL));
    say_cost("both over", 3);
}

/* wait may return with the first one; the other one goes on (here until run() cancels it). */
static void wait_first(void)
{
    must(run(wait_main, BOX(WAIT_FIRST_COMPLETED), NULL, NULL));
    say_cost("one over", 1);
}

static int ways_main(void *arg, void **ret_result, struct err *e)
{
    struct coro *object = need(coro_new(suspend, &b));
    struct task *made = need(task_create(suspend, &b, NULL)),
                *on_loop = need(loop_create_task(loop_running(), suspend, &b, NULL));
    struct future *plain = need(loop_create_future(loop_running()));
    struct future *fs[] = {task_future(made), task_future(on_loop), need(ensure_future(object)),
                           ensure_future(made), ensure_future(plain)};
    (void)arg, (void)ret_result, (void)e;
    say("a coroutine becomes a task: %s", yes(task_of(fs[2]) != NULL));
    say("a task stays itself: %s", yes(fs[3] == fs[0]));
    say("a future stays itself: %s, is a task: %s", yes(fs[4] == plain), yes(task_of(plain)));
    struct future *all = need(future_gather(fs, 3, 0));
    must(future_await(all, NULL, NULL));
    future_unref(all);
    future_unref(plain);
    for (int i = 0; i < 5; i++)
        future_unref(fs[i]);
    object = coro_free(object);
    return 0;
}

/* Three ways to a task; ensure_future also takes what is a future already. */
static void ways_to_a_task(void)
{
    play_task(ways_main);
}

/* Cancels the first of two that have begun and gathers them. */
static void gather_cancelled(unsigned flags)
{
    struct future *fs[] = {start(&a), start(&b)};
    must(nap(0)); /* as at a prompt, where the tasks begin between two inputs */
    say("cancel: %s", yes(future_cancel(fs[0])));
    say_gathered(need(future_gather(fs, 2, flags)));
    future_unref(fs[0]), future_unref(fs[1]);
}

static int cancelled_main(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)ret_result, (void)e;
    gather_cancelled((unsigned)NUMBER(arg));
    return 0;
}

/* A cancelled child is an error of the gather, which does not wait for the other one. */
static void child_cancelled(void)
{
    must(run(cancelled_main, BOX(0), NULL, NULL));
}

/* As a result it does not stop the other one. */
static void child_cancelled_result(void)
{
    must(run(cancelled_main, BOX(GATHER_RETURN_ERRORS), NULL, NULL));
    say_cost("b over", 1);
}

/* A shield around a, whose task only the loop knows. */
static struct future *shielded_a(void)
{
    struct future *inner = start(&a), *outer = need(shield(inner));
    future_unref(inner);
    return outer;
}

static int shield_early_main(void *arg, void **ret_result, struct err *e)
{
    struct future *fs[] = {shielded_a(), start(&b)};
    (void)arg, (void)ret_result, (void)e;
    say("cancel: %s", yes(future_cancel(fs[0])));
    say_gathered(need(future_gather(fs, 2, GATHER_RETURN_ERRORS)));
    future_unref(fs[0]), future_unref(fs[1]);
    return 0;
}

/* The trap: the shield is cancelled, not what is in it; but nobody waits for that any more, and the
 * end of run() cuts it off. */
static void shield_cancelled_early(void)
{
    play_task(shield_early_main);
    say_cost("b over", 1);
}

static int shield_late_main(void *arg, void **ret_result, struct err *e)
{
    struct future *fs[] = {shielded_a(), start(&b)};
    (void)arg, (void)ret_result, (void)e;
    struct future *all = need(future_gather(fs, 2, GATHER_RETURN_ERRORS));
    say("cancel: %s", yes(future_cancel(fs[0])));
    say_gathered(all);
    future_unref(fs[0]), future_unref(fs[1]);
    return nap(3); /* the loop goes on, as it does at a prompt */
}

/* The same after the gather: the result is the cancellation, and what is in the shield comes to its
 * end where the loop lives that long. */
static void shield_cancelled_late(void)
{
    play_task(shield_late_main);
    say_cost("a over", 4);
}

static int quiet(void *arg, void **ret_result, struct err *e)
{
    const struct sleeper *s = arg;
    (void)e;
    *ret_result = BOX(s->result);
    return nap(s->units);
}

/* Gives the gather of both, done. */
static int both(void *arg, void **ret_result, struct err *e)
{
    static const struct gather_call calls[] = {{quiet, &a}, {quiet, &b}};
    struct future *f = need(gather_calls(calls, 2, 0));
    (void)arg;
    *ret_result = f;
    return future_await(f, NULL, e);
}

static void say_both(struct future *f)
{
    void *v;
    must(future_result(f, &v, NULL));
    const struct gathered *g = v;
    say("Result: [%s, %s]", outcome(&g[0]), outcome(&g[1]));
    future_unref(f);
}

/* A context manager is what comes before and after a block: here the clock around a whole run. */
static void timed(void)
{
    void *f;
    must(run(both, NULL, &f, NULL));
    say_both(f);
    say_cost("Cost", 3);
}

static int timed_main(void *arg, void **ret_result, struct err *e)
{
    void *f;
    (void)ret_result;
    start_clock();
    int r = both(arg, &f, e);
    say_both(f);
    say_cost("Cost", 3);
    return r;
}

/* The asynchronous one awaits inside of the coroutine that uses it. */
static void timed_async(void)
{
    play_task(timed_main);
}

#define BOTH_BEGIN "Suspending a", "Suspending b"

static const struct example examples[] = {
    {"gather", gathered, {BOTH_BEGIN, "Resuming b", "Resuming a", "[A, B]", "both over"}},
    {"wait for all",
     wait_all,
     {BOTH_BEGIN, "Resuming b", "Resuming a", "done 2, pending 0", "result A", "result B",
      "both over"}},
    {"wait for the first",
     wait_first,
     {BOTH_BEGIN, "Resuming b", "done 1, pending 1", "result B", "pending", "one over"}},
    {"ways to a task",
     ways_to_a_task,
     {"a coroutine becomes a task: true", "a task stays itself: true",
      "a future stays itself: true, is a task: false", "Suspending b", "Suspending b",
      "Suspending b", "Resuming b", "Resuming b", "Resuming b"}},
    {"a cancelled child", child_cancelled, {BOTH_BEGIN, "cancel: true", "raised CancelledError()"}},
    {"a cancelled child as a result",
     child_cancelled_result,
     {BOTH_BEGIN, "cancel: true", "Resuming b", "[CancelledError(), B]", "b over"}},
    {"a shield cancelled before the gather",
     shield_cancelled_early,
     {"cancel: true", BOTH_BEGIN, "Resuming b", "[CancelledError(), B]", "b over"}},
    {"a shield cancelled after it",
     shield_cancelled_late,
     {"cancel: true", BOTH_BEGIN, "Resuming b", "[CancelledError(), B]", "Resuming a", "a over"}},
    {"a timed run", timed, {"Result: [A, B]", "Cost"}},
    {"a timed block", timed_async, {"Result: [A, B]", "Cost"}},
    {NULL, NULL, {NULL}},
};

int main(void)
{
    return document(examples);
}
