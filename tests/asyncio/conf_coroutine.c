/* conf_coroutine.c - scenarios of the areas "coroutine" and "sleep". */
#include "tests/asyncio/conf.h"

static int bystander(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)ret_result, (void)e;
    out("bystander runs");
    return 0;
}

static int leaf(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)e;
    out("leaf: I am an async function");
    *ret_result = BOX("msg");
    return 0;
}

static int middle(void *arg, void **ret_result, struct err *e)
{
    void *got;
    out("middle: I call the leaf");
    int r = leaf(arg, &got, e);
    if (r < 0)
        return r;
    out("middle: leaf returned %s", TEXT(got));
    *ret_result = BOX("done");
    return 0;
}

static int chain_main(void *arg, void **ret_result, struct err *e)
{
    void *got;
    (void)ret_result;
    must(task_spawn(bystander, NULL, NULL));
    out("main: I call the one that calls the leaf");
    must(middle(arg, &got, e));
    out("main got %s", TEXT(got));
    must(task_sleep(0));
    out("main ends");
    return 0;
}

static void coro_await_chain(void)
{
    must(run(chain_main, NULL, NULL, NULL));
}

static int body(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)e;
    tout("body ran");
    *ret_result = BOX("value");
    return 0;
}

static int inert_main(void *arg, void **ret_result, struct err *e)
{
    void *value;
    (void)arg, (void)ret_result, (void)e;
    start_clock();
    struct coro *c = need(coro_new(body, NULL));
    must(nap(1));
    tout("after the nap");
    coro_free(c);
    c = need(coro_new(body, NULL));
    must(coro_await(c, &value, NULL));
    tout("awaited: %s", TEXT(value));
    tout("second await: %s", error_kind(coro_await(c, NULL, NULL)));
    coro_free(c);
    return 0;
}

static void coro_call_is_inert(void)
{
    must(run(inert_main, NULL, NULL, NULL));
}

struct items {
    const char *name, *items;
};

static int count_items(void *arg, void **ret_result, struct err *e)
{
    const struct items *x = arg;
    (void)ret_result;
    for (const char *i = x->items; *i; i++) {
        block(1);
        tout("%s %c", x->name, *i);
        must(coro_yield(e));
    }
    return 0;
}

static void run_to_end(struct items *x)
{
    struct coro *c = need(coro_new(count_items, x));
    while (coro_resume(c, NULL, NULL) == 1)
        continue;
    coro_free(c);
}

static void end_it(struct coro *c, const char *name)
{
    if (coro_resume(c, NULL, NULL) == 0)
        tout("%s is finished", name);
    coro_free(c);
}

static void coro_manual_resume(void)
{
    struct items a = {"a", "012"}, b = {"b", "abc"};
    start_clock();
    run_to_end(&a);
    run_to_end(&b);
    tout("serial total");
    start_clock();
    struct coro *x = need(coro_new(count_items, &a)), *y = need(coro_new(count_items, &b));
    for (int i = 0; i < 3; i++) {
        must(coro_resume(x, NULL, NULL));
        must(coro_resume(y, NULL, NULL));
    }
    tout("three rounds");
    end_it(x, "a");
    end_it(y, "b");
}

struct work {
    const char *name;
    int naps;
};

static int work(void *arg, void **ret_result, struct err *e)
{
    const struct work *w = arg;
    (void)ret_result, (void)e;
    tout("%s starts", w->name);
    must(nap(w->naps));
    tout("%s ends", w->name);
    return 0;
}

static void serially(struct err *e)
{
    struct work abc[] = {{"a", 1}, {"b", 2}, {"c", 3}};
    for (int i = 0; i < 3; i++)
        must(work(&abc[i], NULL, e));
    tout("serial total");
}

static void as_tasks(void)
{
    struct work def[] = {{"d", 1}, {"e", 2}, {"f", 3}};
    struct task *t[3];
    for (int i = 0; i < 3; i++)
        t[i] = need(task_create(work, &def[i], NULL));
    for (int i = 0; i < 3; i++)
        drop(t[i]);
    tout("tasks total");
}

static int serial_main(void *arg, void **ret_result, struct err *e)
{
    struct work gw = {"g", 1}, hw = {"h", 3};
    (void)arg, (void)ret_result;
    start_clock();
    serially(e);
    start_clock();
    as_tasks();
    start_clock();
    struct task *g = need(task_create(work, &gw, NULL));
    struct task *h = need(task_create(work, &hw, NULL));
    drop(h);
    tout("longest first");
    drop(g);
    tout("then the other");
    return 0;
}

static void coro_serial_vs_tasks(void)
{
    must(run(serial_main, NULL, NULL, NULL));
}

struct turns {
    const char *name;
    int rounds, delay_ms;
};

static int take_turns(void *arg, void **ret_result, struct err *e)
{
    const struct turns *x = arg;
    (void)ret_result, (void)e;
    for (int i = 0; i < x->rounds; i++) {
        out("%s %d", x->name, i);
        must(task_sleep(x->delay_ms));
    }
    out("%s ends", x->name);
    return 0;
}

static int round_robin_main(void *arg, void **ret_result, struct err *e)
{
    static struct turns all[] = {{"A", 3, 0}, {"B", 2, 0}, {"C", 4, 0}, {"D", 1, -1}};
    struct task *t[4];
    (void)arg, (void)ret_result, (void)e;
    for (int i = 0; i < 4; i++)
        t[i] = need(task_create(take_turns, &all[i], NULL));
    for (int i = 0; i < 4; i++)
        drop(t[i]);
    must(task_sleep(0));
    out("zero result");
    return 0;
}

static void sleep0_round_robin(void)
{
    must(run(round_robin_main, NULL, NULL, NULL));
}

const struct scenario coro_scenarios[] = {
    {"coro-await-chain", coro_await_chain},     {"coro-call-is-inert", coro_call_is_inert},
    {"coro-manual-resume", coro_manual_resume}, {"coro-serial-vs-tasks", coro_serial_vs_tasks},
    {"sleep0-round-robin", sleep0_round_robin}, {NULL, NULL},
};
