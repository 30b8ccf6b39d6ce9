/* conf_future.c - scenarios of the area "future". */
#include <errno.h>

#include "tests/asyncio/conf.h"

static void ran(struct future *f, void *name)
{
    (void)f;
    out("%s ran", TEXT(name));
}

static void removes_g(struct future *f, void *name)
{
    (void)name;
    out("f ran, removes g: %d", future_remove_done_callback(f, ran, BOX("g")));
}

static void add(struct future *f, const char *name)
{
    must(future_add_done_callback(f, ran, BOX(name)));
}

static struct future *new_future(void)
{
    return need(loop_create_future(loop_running()));
}

static void complete(struct future *f)
{
    must(future_set_result(f, NULL));
}

static int remove_main(void *arg, void **ret_result, struct err *e)
{
    static char a[] = "a", b[] = "b", c[] = "c", d[] = "d", ee[] = "e";
    struct future *f1 = new_future(), *f2 = new_future(), *f3 = new_future();
    (void)arg, (void)ret_result, (void)e;
    add(f1, a), add(f1, b), add(f1, a), add(f1, c);
    out("remove b: %d", future_remove_done_callback(f1, ran, b));
    out("remove b: %d", future_remove_done_callback(f1, ran, b));
    out("remove a: %d", future_remove_done_callback(f1, ran, a));
    complete(f1);
    must(task_sleep(0));
    add(f2, d), add(f2, ee);
    complete(f2);
    out("remove e after completion: %d", future_remove_done_callback(f2, ran, ee));
    must(task_sleep(0));
    must(future_add_done_callback(f3, removes_g, NULL));
    add(f3, "g");
    complete(f3);
    must(task_sleep(0));
    out("end");
    future_unref(f1), future_unref(f2), future_unref(f3);
    return 0;
}

static void future_callback_remove(void)
{
    must(run(remove_main, NULL, NULL, NULL));
}

static void got(struct future *f, void *name)
{
    void *v;
    must(future_result(f, &v, NULL));
    out("%s got %s", TEXT(name), TEXT(v));
}

static void c4(struct future *f, void *name)
{
    (void)name;
    out("c4 cancelled %s", yes(future_cancelled(f)));
}

static int callbacks_main(void *arg, void **ret_result, struct err *e)
{
    struct future *f = new_future(), *g = new_future();
    (void)arg, (void)ret_result, (void)e;
    must(future_add_done_callback(f, got, BOX("c1")));
    must(future_add_done_callback(f, got, BOX("c2")));
    must(future_add_done_callback(f, got, BOX("c1")));
    out("setting");
    must(future_set_result(f, BOX("R")));
    out("set");
    must(task_sleep(0));
    must(future_add_done_callback(f, got, BOX("c3")));
    out("added");
    must(task_sleep(0));
    must(future_add_done_callback(g, c4, NULL));
    (void)future_cancel(g);
    out("cancelled");
    must(task_sleep(0));
    out("end");
    future_unref(f), future_unref(g);
    return 0;
}

static void future_callbacks(void)
{
    must(run(callbacks_main, NULL, NULL, NULL));
}

static int wait_t(void *f, void **ret_result, struct err *e)
{
    tout("t waits");
    int r = future_await(f, ret_result, e);
    if (r == 0)
        tout("never printed");
    return r;
}

static int wait_u(void *t, void **ret_result, struct err *e)
{
    int r = task_await(t, ret_result, e);
    if (r == -ECANCELED) {
        tout("u caught %s", show(e));
        *ret_result = BOX("u value");
        return 0;
    }
    return r;
}

static int reaches_main(void *arg, void **ret_result, struct err *e)
{
    struct future *f = new_future();
    (void)arg, (void)ret_result, (void)e;
    start_clock();
    struct task *t = need(task_create(wait_t, f, NULL)), *u = need(task_create(wait_u, t, NULL));
    must(nap(1));
    tout("cancel returns %s", yes(future_cancel(f)));
    tout("u returned %s", TEXT(value_of(u)));
    out("t cancelled: %s u cancelled: %s", yes(task_cancelled(t)), yes(task_cancelled(u)));
    task_unref(t), task_unref(u), future_unref(f);
    return 0;
}

static void future_cancel_reaches_awaiter(void)
{
    must(run(reaches_main, NULL, NULL, NULL));
}

static int awaiter(void *f, void **ret_result, struct err *e)
{
    void *v;
    const char *name = task_name(task_current());
    int r = future_await(f, &v, e);
    (void)ret_result;
    if (r == 0)
        tout("%s got %s", name, TEXT(v));
    else
        tout("%s caught %s", name, show(e));
    return 0;
}

static int many_main(void *arg, void **ret_result, struct err *e)
{
    static const char *const names[] = {"w1", "w2", "w3", "w4", "w5", "w6", "w7"};
    static const int waits_for[] = {0, 0, 0, 1, 1, 2, 2};
    struct future *f[3] = {new_future(), new_future(), new_future()};
    struct task *t[7];
    (void)arg, (void)ret_result, (void)e;
    start_clock();
    for (int i = 0; i < 7; i++)
        t[i] = need(task_create(awaiter, f[waits_for[i]], names[i]));
    must(nap(1));
    must(future_set_result(f[0], BOX("v")));
    must(nap(1));
    must(future_set_error(f[1], -EINVAL, "bad"));
    must(nap(1));
    (void)future_cancel(f[2]);
    must(task_sleep(0));
    must(task_sleep(0));
    out("w6 done %s cancelled %s", yes(task_done(t[5])), yes(task_cancelled(t[5])));
    for (int i = 0; i < 7; i++)
        task_unref(t[i]);
    for (int i = 0; i < 3; i++)
        future_unref(f[i]);
    return 0;
}

static void future_many_awaiters(void)
{
    must(run(many_main, NULL, NULL, NULL));
}

/* Prints what reading the result, then the error of f gives; the kind only of an InvalidStateError.
 */
static void attempt(const char *name, int r, const char *value, const struct err *e)
{
    if (r == 0)
        out("%s %s", name, value);
    else if (r == ERROR_INVALID_STATE)
        out("%s InvalidStateError", name);
    else
        out("%s raises %s", name, show(e));
}

static void read_result(struct future *f)
{
    void *v = NULL;
    struct err e;
    int r = future_result(f, &v, &e);
    attempt("result", r, v ? "5" : "none", &e);
}

static void read_exception(struct future *f)
{
    const struct error *x = NULL;
    struct err e;
    int r = future_exception(f, &x, &e);
    attempt("exception", r, show_error(x), &e);
}

static void show_state(const char *name, struct future *f)
{
    out("%s %s %s", name, yes(future_done(f)), yes(future_cancelled(f)));
}

static void states_of_result(void)
{
    struct future *f = new_future();
    show_state("pending", f);
    read_result(f);
    read_exception(f);
    must(future_set_result(f, BOX(5)));
    show_state("finished", f);
    read_result(f);
    read_exception(f);
    attempt("set_result again", future_set_result(f, BOX(6)), "", NULL);
    attempt("set_exception", future_set_error(f, -EINVAL, "no"), "", NULL);
    out("cancel %s", yes(future_cancel(f)));
    read_result(f);
    future_unref(f);
}

static int states_main(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)ret_result, (void)e;
    states_of_result();
    struct future *g = new_future(), *h = new_future();
    must(future_set_error(g, -EINVAL, "x"));
    show_state("failed", g);
    read_result(g);
    read_exception(g);
    out("cancel %s", yes(future_cancel(h)));
    show_state("cancelled", h);
    read_result(h);
    read_exception(h);
    out("cancel again %s", yes(future_cancel(h)));
    attempt("set_result", future_set_result(h, BOX(1)), "", NULL);
    future_unref(g), future_unref(h);
    return 0;
}

static void future_states(void)
{
    must(run(states_main, NULL, NULL, NULL));
}

struct ticker { /* counts iterations: a callback that queues itself again, before all else */
    int n, base;
    bool stopped;
};

static void tick(void *arg)
{
    struct ticker *t = arg;
    t->n++;
    if (!t->stopped)
        need(loop_call_soon(loop_running(), tick, t));
}

struct ticking {
    struct ticker *ticker;
    const char *name;
    struct future *waits_for;
};

static int resume_note(void *arg, void **ret_result, struct err *e)
{
    struct ticking *x = arg;
    int r = future_await(x->waits_for, ret_result, e);
    out("%s resumes +%d", x->name, x->ticker->n - x->ticker->base);
    return r;
}

static int quick(void *arg, void **ret_result, struct err *e)
{
    struct ticker *t = arg;
    (void)ret_result, (void)e;
    out("2: quick runs +%d", t->n - t->base);
    return 0;
}

static void three_steps(struct ticker *t)
{
    struct future *f = new_future();
    struct ticking x = {t, "1: task", f};
    struct task *w = need(task_create(resume_note, &x, NULL));
    must(task_sleep(0));
    t->base = t->n;
    complete(f);
    out("1: set_result +%d", t->n - t->base);
    for (int i = 0; i < 3; i++) {
        must(task_sleep(0));
        out("1: main +%d", t->n - t->base);
    }
    t->base = t->n;
    drop(need(task_create(quick, t, NULL)));
    out("2: main resumes +%d", t->n - t->base);
    t->base = t->n;
    must(future_await(f, NULL, NULL));
    drop(w);
    out("3: done future and task +%d", t->n - t->base);
    future_unref(f);
}

static int ticks_main(void *arg, void **ret_result, struct err *e)
{
    struct ticker t = {.n = 0};
    (void)arg, (void)ret_result, (void)e;
    struct handle *h = need(loop_call_soon(loop_running(), tick, &t));
    (void)h;
    must(task_sleep(0));
    three_steps(&t);
    struct future *f = new_future();
    struct ticking x1 = {&t, "4: t1", f};
    struct task *t1 = need(task_create(resume_note, &x1, NULL));
    struct ticking x2 = {&t, "4: t2", task_future(t1)};
    struct task *t2 = need(task_create(resume_note, &x2, NULL));
    struct ticking x3 = {&t, "4: t3", task_future(t2)};
    struct task *t3 = need(task_create(resume_note, &x3, NULL));
    must(task_sleep(0));
    t.base = t.n;
    complete(f);
    drop(t3);
    out("4: main resumes +%d", t.n - t.base);
    t.stopped = true;
    must(task_sleep(0));
    task_unref(t1), task_unref(t2), future_unref(f);
    return 0;
}

static void future_wakeup_ticks(void)
{
    must(run(ticks_main, NULL, NULL, NULL));
}

const struct scenario future_scenarios[] = {
    {"future-callback-remove", future_callback_remove},
    {"future-callbacks", future_callbacks},
    {"future-cancel-reaches-awaiter", future_cancel_reaches_awaiter},
    {"future-many-awaiters", future_many_awaiters},
    {"future-states", future_states},
    {"future-wakeup-ticks", future_wakeup_ticks},
    {NULL, NULL},
};
