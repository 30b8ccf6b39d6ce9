/* conf_cancel.c - scenarios of the areas "cancel" and "warnings". */
#include <errno.h>

#include "tests/asyncio/conf.h"

struct link {
    const char *name;
    struct task *below;
    bool spare;
};

static int link_body(void *arg, void **ret_result, struct err *e)
{
    const struct link *x = arg;
    int r = x->below ? task_await(x->below, ret_result, e) : nap(9);
    if (r == 0)
        tout("%s got %s", x->name, TEXT(*ret_result));
    if (r != -ECANCELED)
        return r;
    tout("%s cancelled", x->name);
    if (!x->spare)
        return r;
    *ret_result = BOX("spared");
    return 0;
}

static int chain_main(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)ret_result, (void)e;
    start_clock();
    for (int spare = 0; spare < 2; spare++) {
        struct link bottom = {"bottom", NULL, false};
        struct task *b = need(task_create(link_body, &bottom, NULL));
        struct link middle = {"middle", b, spare};
        struct task *m = need(task_create(link_body, &middle, NULL));
        struct link top = {"top", m, false};
        struct task *t = need(task_create(link_body, &top, NULL));
        must(nap(1));
        (void)task_cancel(t);
        (void)task_await(t, NULL, NULL);
        tout("cancelled: %s %s %s", yes(task_cancelled(b)), yes(task_cancelled(m)),
             yes(task_cancelled(t)));
        task_unref(b), task_unref(m), task_unref(t);
    }
    return 0;
}

static void cancel_chain(void)
{
    must(run(chain_main, NULL, NULL, NULL));
}

static int pending_body(void *f, void **ret_result, struct err *e)
{
    const char *name = task_name(task_current());
    int r = future_await(f, ret_result, e);
    if (r == 0)
        out("%s got %s", name, TEXT(*ret_result));
    if (r != -ECANCELED)
        return r;
    out("%s got %s", name, show(e));
    if (name[1] != '3')
        return r;
    r = future_await(f, ret_result, e);
    out("%s got %s", name, TEXT(*ret_result));
    return r;
}

static int pending_main(void *arg, void **ret_result, struct err *e)
{
    static const char *const names[] = {"t1", "t2", "t3"};
    (void)arg, (void)ret_result, (void)e;
    for (int i = 0; i < 3; i++) {
        struct future *f = need(loop_create_future(loop_running()));
        struct task *t = need(task_create(pending_body, f, names[i]));
        must(task_sleep(0));
        must(future_set_result(f, BOX("v")));
        if (i == 1)
            must(task_sleep(0));
        out("%s cancel returns %s", names[i], yes(task_cancel(t)));
        (void)task_await(t, NULL, NULL);
        out("%s cancelled: %s", names[i], yes(task_cancelled(t)));
        task_unref(t), future_unref(f);
    }
    return 0;
}

static void cancel_pending_completion(void)
{
    must(run(pending_main, NULL, NULL, NULL));
}

static int sleeper(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)ret_result, (void)e;
    tout("sleeper starts");
    int r = nap(5);
    if (r == -ECANCELED)
        tout("sleeper cancelled");
    tout("sleeper leaves");
    return r;
}

static int sleeping_main(void *arg, void **ret_result, struct err *e)
{
    struct err got;
    (void)arg, (void)ret_result, (void)e;
    start_clock();
    struct task *t = need(task_create(sleeper, NULL, NULL));
    must(nap(1));
    bool accepted = task_cancel(t);
    tout("cancel returns %s done: %s", yes(accepted), yes(task_done(t)));
    if (task_await(t, NULL, &got) < 0)
        tout("main got %s", show(&got));
    bool again = task_cancel(t);
    tout("done: %s cancelled: %s cancel again: %s", yes(task_done(t)), yes(task_cancelled(t)),
         yes(again));
    if (task_result(t, NULL, &got) < 0)
        tout("result raises %s", show(&got));
    task_unref(t);
    return 0;
}

static void cancel_sleeping(void)
{
    must(run(sleeping_main, NULL, NULL, NULL));
}

static int refuser(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)e;
    if (nap(5) == -ECANCELED)
        tout("refused");
    must(nap(2));
    *ret_result = BOX("done anyway");
    return 0;
}

static int catcher(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)e;
    if (nap(5) == -ECANCELED) {
        tout("caught");
        *ret_result = BOX("caught value");
    }
    return 0;
}

static int swallowed_main(void *arg, void **ret_result, struct err *e)
{
    static const coro_fn bodies[] = {refuser, catcher};
    (void)arg, (void)ret_result, (void)e;
    start_clock();
    for (int i = 0; i < 2; i++) {
        struct task *t = need(task_create(bodies[i], NULL, NULL));
        must(nap(1));
        (void)task_cancel(t);
        const char *value = value_of(t);
        tout("value: %s cancelled: %s", value, yes(task_cancelled(t)));
        task_unref(t);
    }
    return 0;
}

static void cancel_swallowed(void)
{
    must(run(swallowed_main, NULL, NULL, NULL));
}

static int careful(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)ret_result, (void)e;
    int r = nap(9);
    if (r != -ECANCELED)
        return r;
    tout("cleanup starts");
    tout(nap(5) == 0 ? "cleanup done" : "cleanup broken off");
    return r;
}

static int twice_main(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)ret_result, (void)e;
    start_clock();
    struct task *t = need(task_create(careful, NULL, NULL));
    must(nap(1));
    (void)task_cancel(t);
    must(nap(2));
    (void)task_cancel(t);
    (void)task_await(t, NULL, NULL);
    tout("cancelled: %s", yes(task_cancelled(t)));
    task_unref(t);
    t = need(task_create(careful, NULL, NULL));
    must(nap(1));
    bool first = task_cancel(t), second = task_cancel(t);
    tout("cancel returns %s %s", yes(first), yes(second));
    (void)task_await(t, NULL, NULL);
    tout("cancelled: %s", yes(task_cancelled(t)));
    task_unref(t);
    return 0;
}

static void cancel_twice(void)
{
    must(run(twice_main, NULL, NULL, NULL));
}

static int long_nap(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)ret_result, (void)e;
    return nap(9);
}

static int short_nap(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)ret_result, (void)e;
    return nap(1);
}

static int say_message(struct loop *l, const struct loop_report *r, void *arg, struct err *e)
{
    (void)l, (void)arg, (void)e;
    if (r->code)
        out("handler: %s %s", r->message, show_code(r->code, r->text));
    else
        out("handler: %s", r->message);
    return 0;
}

static void destroyed_pending(void)
{
    for (int k = 1; k <= 3; k++) {
        struct loop *l = need(loop_new(0));
        loop_set_exception_handler(l, say_message, NULL);
        struct task *t = need(loop_create_task(l, long_nap, NULL, NULL));
        if (k != 3)
            must(loop_run_coroutine(l, short_nap, NULL, NULL, NULL));
        if (k == 2) {
            (void)task_cancel(t);
            if (loop_run_until_complete(l, task_future(t), NULL, NULL) == -ECANCELED)
                out("ended");
        }
        must(loop_close(l, NULL));
        out("round %d done: %s", k, yes(task_done(t)));
        task_unref(t);
        out("round %d over", k);
        loop_free(l);
    }
}

static int bad(void *text, void **ret_result, struct err *e)
{
    (void)ret_result;
    return err_set(e, -EINVAL, "%s", TEXT(text));
}

static void lose_task(int k)
{
    static const char *const texts[] = {"", "lost", "part 2", "part 3", "part 4"};
    struct err e;
    struct task *t = need(task_create(bad, BOX(texts[k]), NULL));
    if (k == 3 && task_await(t, NULL, &e) < 0)
        out("caught %s", show(&e));
    if (k == 4)
        (void)task_cancel(t);
    must(task_sleep(0));
    must(task_sleep(0));
    if (k == 2) {
        const struct error *x;
        must(future_exception(task_future(t), &x, NULL));
        out("asked %s", show_error(x));
    }
    task_unref(t);
}

static int retrieved_main(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)ret_result, (void)e;
    loop_set_exception_handler(loop_running(), say_message, NULL);
    for (int k = 1; k <= 4; k++) {
        lose_task(k);
        out("part %d over", k);
    }
    struct future *f = need(loop_create_future(loop_running()));
    must(future_set_error(f, -EINVAL, "lost 5"));
    future_unref(f);
    out("part 5 over");
    return 0;
}

static void never_retrieved(void)
{
    must(run(retrieved_main, NULL, NULL, NULL));
}

const struct scenario cancel_scenarios[] = {
    {"cancel-chain", cancel_chain},       {"cancel-pending-completion", cancel_pending_completion},
    {"cancel-sleeping", cancel_sleeping}, {"cancel-swallowed", cancel_swallowed},
    {"cancel-twice", cancel_twice},       {"destroyed-pending", destroyed_pending},
    {"never-retrieved", never_retrieved}, {NULL, NULL},
};
