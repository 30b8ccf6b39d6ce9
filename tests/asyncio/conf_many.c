/* conf_many.c - scenarios of the areas "task", "sleep", "cancel" and "to_thread" that gather or
 * wait, and combinator-ticks. */
#include <stdio.h>

#include "tests/asyncio/conf_gather.h"
#include "worker/runtime/as_completed.h"
#include "worker/runtime/context.h"
#include "worker/runtime/shield.h"
#include "worker/runtime/wait.h"

struct counted { /* counts iterations: a callback that queues itself again, before all else */
    int n, base;
    bool stopped;
    const char *name;
    int (*await)(struct future *f);
    struct future *future;
};

static void tick(void *arg)
{
    struct counted *c = arg;
    c->n++;
    if (!c->stopped)
        need(loop_call_soon(loop_running(), tick, c));
}

static int take_and_await(struct future *f)
{
    int r = future_await(need(f), NULL, NULL);
    future_unref(f);
    return r;
}

static int plain(struct future *f)
{
    return future_await(f, NULL, NULL);
}

static int gathered(struct future *f)
{
    return take_and_await(future_gather(&f, 1, 0));
}

static int waited(struct future *f)
{
    size_t done, pending;
    return future_wait(&f, 1, -1, WAIT_ALL_COMPLETED, &done, &pending, NULL);
}

static int first_completed(struct future *f)
{
    struct as_completed *a = need(as_completed_new(&f, 1, -1));
    int r = as_completed_next(a, NULL, NULL, NULL);
    as_completed_free(a);
    return r;
}

static int shielded(struct future *f)
{
    return take_and_await(shield(f));
}

static int limited(struct future *f)
{
    return wait_for(f, unit_ms(50), NULL, NULL);
}

static int gathered_twice(struct future *f)
{
    struct future *inner = need(future_gather(&f, 1, 0)), *g = future_gather(&inner, 1, 0);
    future_unref(inner);
    return take_and_await(g);
}

static int await_body(void *f, void **ret_result, struct err *e)
{
    return future_await(f, ret_result, e);
}

static int by_task(struct future *f)
{
    return take_and_await(task_future(need(task_create(await_body, f, NULL))));
}

static int consumer(void *arg, void **ret_result, struct err *e)
{
    struct counted *c = arg;
    (void)ret_result, (void)e;
    must(c->await(c->future));
    out("%s +%d", c->name, c->n - c->base);
    return 0;
}

static void one_case(struct counted *c)
{
    c->future = need(loop_create_future(loop_running()));
    struct task *t = need(task_create(consumer, c, NULL));
    must(task_sleep(0));
    must(task_sleep(0));
    c->base = c->n;
    must(future_set_result(c->future, NULL));
    for (int i = 0; i < 5; i++)
        must(task_sleep(0));
    drop(t);
    future_unref(c->future);
}

static int ticks_main(void *arg, void **ret_result, struct err *e)
{
    static const struct {
        const char *name;
        int (*await)(struct future *f);
    } cases[] = {{"1 await", plain},
                 {"2 gather", gathered},
                 {"3 wait", waited},
                 {"4 as_completed", first_completed},
                 {"5 shield", shielded},
                 {"6 wait_for", limited},
                 {"7 gather of gather", gathered_twice},
                 {"8 task", by_task}};
    struct counted c = {.n = 0};
    (void)arg, (void)ret_result, (void)e;
    need(loop_call_soon(loop_running(), tick, &c));
    must(task_sleep(0));
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        c.name = cases[i].name;
        c.await = cases[i].await;
        one_case(&c);
    }
    c.stopped = true;
    return task_sleep(0);
}

static void combinator_ticks(void)
{
    must(run(ticks_main, NULL, NULL, NULL));
}

static int with_leave(void *sleeper, void **ret_result, struct err *e)
{
    int r = suspend_resume(sleeper, ret_result, e);
    tout("leave %s", ((const struct sleeper *)sleeper)->name);
    return r;
}

static int before_main(void *arg, void **ret_result, struct err *e)
{
    static struct sleeper c = {"c", "C", 1};
    (void)arg, (void)ret_result;
    start_clock();
    struct task *ta = need(task_create(with_leave, &sleeper_a, NULL));
    struct task *tb = need(task_create(with_leave, &sleeper_b, NULL));
    struct future *fs[] = {task_future(ta), task_future(tb)};
    bool accepted = task_cancel(ta);
    tout("cancel returns %s done: %s", yes(accepted), yes(task_done(ta)));
    if (gather_error(future_gather(fs, 2, 0), e) < 0)
        tout("gather raised %s", show(e));
    const char *text = gathered_text(future_gather(fs, 2, GATHER_RETURN_ERRORS), 2);
    tout("%s", text);
    struct task *tc = need(task_create(with_leave, &c, NULL));
    (void)task_cancel(tc);
    must(nap(2));
    tout("c done: %s cancelled: %s", yes(task_done(tc)), yes(task_cancelled(tc)));
    task_unref(ta), task_unref(tb), task_unref(tc);
    return 0;
}

static void cancel_before_start(void)
{
    must(run(before_main, NULL, NULL, NULL));
}

static int wake(void *arg, void **ret_result, struct err *e)
{
    (void)ret_result, (void)e;
    must(nap(NUMBER(arg)));
    tout("woke %d", NUMBER(arg));
    return 0;
}

static int sort_main(void *arg, void **ret_result, struct err *e)
{
    static const struct gather_call calls[] = {
        {wake, BOX(3)}, {wake, BOX(1)}, {wake, BOX(5)}, {wake, BOX(2)}, {wake, BOX(4)}};
    (void)arg, (void)ret_result, (void)e;
    start_clock();
    must(take_and_await(gather_calls(calls, 5, 0)));
    start_clock();
    for (int i = 0; i < 3; i++) {
        must(nap(1));
        tout("nap %d", i);
    }
    must(nap(1));
    tout("carried"); /* a sleep carries nothing: its caller has it */
    return 0;
}

static void sleep_sort(void)
{
    must(run(sort_main, NULL, NULL, NULL));
}

static int number(void *arg, void **ret_result, struct err *e)
{
    (void)e;
    *ret_result = arg;
    return task_sleep(0);
}

static int custom(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)e;
    *ret_result = BOX("custom");
    return nap(1);
}

static int named(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)e;
    *ret_result = BOX(task_name(task_current()));
    return 0;
}

static void *taken_value(struct future *f)
{
    void *v;
    must(future_await(need(f), &v, NULL));
    future_unref(f);
    return v;
}

static void show_results(struct task *a)
{
    struct coro *c = need(coro_new(number, BOX(3)));
    struct task *b = need(loop_create_task(loop_running(), number, BOX(2), NULL));
    struct future *third = need(ensure_future(c));
    int x = NUMBER(value_of(a)), y = NUMBER(value_of(b)), z = NUMBER(taken_value(third));
    out("results %d %d %d", x, y, z);
    task_unref(b);
    coro_free(c);
}

static int ways_main(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)ret_result, (void)e;
    start_clock();
    struct task *a = need(task_create(number, BOX(1), NULL));
    show_results(a);
    struct future *f = need(loop_create_future(loop_running()));
    struct future *same_task = ensure_future(a), *same_future = ensure_future(f);
    out("same task: %s same future: %s", yes(same_task == task_future(a)), yes(same_future == f));
    future_unref(same_task), future_unref(same_future), future_unref(f), task_unref(a);
    struct coro *c = need(coro_new(custom, NULL));
    struct future *d = need(ensure_future(c));
    out("is a task: %s", yes(task_of(d) != NULL));
    const char *value = taken_value(d);
    tout("custom awaitable: %s", value);
    coro_free(c);
    struct task *t = need(task_create(named, NULL, "fetcher"));
    value = value_of(t);
    out("name: %s", value);
    task_unref(t);
    return 0;
}

static void task_creation_ways(void)
{
    must(run(ways_main, NULL, NULL, NULL));
    if (!task_create(number, BOX(9), NULL))
        out("%s", show_code(ERROR_NO_LOOP, error_sentence(ERROR_NO_LOOP)));
}

struct lines {
    const char *name, *items, *result;
    int offset;
    int (*pause)(void);
};

static int nap_2(void)
{
    return nap(2);
}

static int turn(void)
{
    return task_sleep(0);
}

static void say(const struct lines *x, char item)
{
    if (x->pause == turn)
        out("%c in %s", item, x->name);
    else
        tout("%c in %s", item, x->name);
}

static int print_lines(void *arg, void **ret_result, struct err *e)
{
    const struct lines *x = arg;
    (void)e;
    if (x->pause == nap_2)
        must(nap(x->offset));
    for (const char *i = x->items; *i; i++) {
        say(x, *i);
        must(x->pause());
    }
    *ret_result = BOX(x->result);
    return 0;
}

static void say_result(struct future *f, void *with_time)
{
    void *v;
    must(future_result(f, &v, NULL));
    if (with_time)
        tout("%s ~~~", TEXT(v));
    else
        out("%s ~~~", TEXT(v));
}

static void start_lines(struct future **fs, struct lines *x, bool with_time)
{
    for (int i = 0; i < 2; i++) {
        fs[i] = task_future(need(task_create(print_lines, &x[i], NULL)));
        must(future_add_done_callback(fs[i], say_result, BOX(with_time)));
    }
}

static int sleeping_main(void *arg, void **ret_result, struct err *e)
{
    static struct lines x[] = {{"a", "012", "a() finished", 0, nap_2},
                               {"b", "abcdefg", "b() finished", 1, nap_2}};
    struct future *fs[2];
    (void)arg, (void)e;
    start_clock();
    start_lines(fs, x, true);
    *ret_result = BOX(gathered_text(future_gather(fs, 2, 0), 2));
    future_unref(fs[0]), future_unref(fs[1]);
    return 0;
}

static void tasks_sleep_interleave(void)
{
    void *text;
    must(run(sleeping_main, NULL, &text, NULL));
    tout("%s", TEXT(text));
}

static int yielding_main(void *arg, void **ret_result, struct err *e)
{
    static struct lines x[] = {{"a", "012", "a() finished", 0, turn},
                               {"b", "abcdefg", "b() finished", 0, turn}};
    struct future *fs[2];
    size_t done, pending;
    void *va, *vb;
    (void)arg, (void)ret_result, (void)e;
    start_lines(fs, x, false);
    must(future_wait(fs, 2, -1, WAIT_ALL_COMPLETED, &done, &pending, NULL));
    must(future_result(fs[0], &va, NULL));
    must(future_result(fs[1], &vb, NULL));
    out("done: %s %s", TEXT(va), TEXT(vb));
    out("pending: %zu", pending);
    future_unref(fs[0]), future_unref(fs[1]);
    return 0;
}

static void tasks_yield_interleave(void)
{
    must(run(yielding_main, NULL, NULL, NULL));
}

static const struct context_var variable = {"v", BOX("none")};

static void set(const char *value)
{
    must(context_set(&variable, BOX(value)));
}

static void say_value(const char *who)
{
    out("%s %s", who, TEXT(context_get(&variable)));
}

static int context_child(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)ret_result, (void)e;
    say_value("child starts with");
    set("child");
    must(task_sleep(0));
    say_value("child has");
    return 0;
}

static int helper(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)ret_result, (void)e;
    set("helper");
    return 0;
}

static int context_main(void *arg, void **ret_result, struct err *e)
{
    (void)arg;
    say_value("at first");
    set("main");
    struct task *t = need(task_create(context_child, NULL, NULL));
    set("main 2");
    drop(t);
    say_value("main has");
    must(helper(NULL, ret_result, e));
    say_value("main has");
    return 0;
}

static void context_per_task(void)
{
    must(run(context_main, NULL, NULL, NULL));
    say_value("outside");
}

const struct scenario many_scenarios[] = {
    {"combinator-ticks", combinator_ticks},
    {"cancel-before-start", cancel_before_start},
    {"sleep-sort", sleep_sort},
    {"task-creation-ways", task_creation_ways},
    {"tasks-sleep-interleave", tasks_sleep_interleave},
    {"tasks-yield-interleave", tasks_yield_interleave},
    {"context-per-task", context_per_task},
    {NULL, NULL},
};
