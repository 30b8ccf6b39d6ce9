/* conf_task.c - scenarios of the areas "task" and "background". */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/asyncio/conf.h"

static int one_nap(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)e;
    int r = nap(1);
    *ret_result = BOX("done");
    return r;
}

struct waits {
    const char *name;
    struct task *task;
};

static int waiter(void *arg, void **ret_result, struct err *e)
{
    const struct waits *w = arg;
    void *v;
    (void)ret_result;
    int r = task_await(w->task, &v, e);
    if (r == 0)
        out("%s %s", w->name, TEXT(v));
    return r;
}

static void print_result(struct future *f, void *name)
{
    void *v;
    must(future_result(f, &v, NULL));
    out("%s %s", TEXT(name), TEXT(v));
}

static int awaiter_main(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)ret_result, (void)e;
    struct task *t = need(task_create(one_nap, NULL, NULL));
    struct waits w1 = {"waiter w1", t}, w2 = {"waiter w2", t};
    must(future_add_done_callback(task_future(t), print_result, BOX("callback a")));
    must(task_spawn(waiter, &w1, NULL));
    must(task_sleep(0));
    must(future_add_done_callback(task_future(t), print_result, BOX("callback b")));
    must(task_spawn(waiter, &w2, NULL));
    must(task_sleep(0));
    must(future_add_done_callback(task_future(t), print_result, BOX("callback c")));
    out("main %s", TEXT(value_of(t)));
    task_unref(t);
    return 0;
}

static void task_callbacks_vs_awaiter(void)
{
    must(run(awaiter_main, NULL, NULL, NULL));
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void print_all(void)
{
    struct task **tasks;
    size_t n;
    char line[64] = "";
    const char *names[8];
    must(task_all(loop_running(), &tasks, &n));
    for (size_t i = 0; i < n; i++)
        names[i] = task_name(tasks[i]);
    qsort(names, n, sizeof names[0], by_text);
    for (size_t i = 0; i < n; i++)
        (void)strcat(strcat(line, " "), names[i]);
    out("all:%s", line);
    task_all_free(tasks, n);
}

static int current_body(void *arg, void **ret_result, struct err *e)
{
    (void)ret_result, (void)e;
    out("current: %s", task_name(task_current()));
    if (NUMBER(arg) == 0)
        return 0;
    must(nap(NUMBER(arg)));
    tout("current: %s", task_name(task_current()));
    return 0;
}

static void current_in_callback(void *arg)
{
    (void)arg;
    out("in callback: %s", task_current() ? "some" : "none");
}

static int current_main(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)ret_result, (void)e;
    must(task_set_name(task_current(), "main"));
    start_clock();
    must(task_spawn(current_body, BOX(1), "a"));
    struct task *b = need(task_create(current_body, BOX(3), "b"));
    must(task_spawn(current_body, BOX(0), "c"));
    print_all();
    need(loop_call_soon(loop_running(), current_in_callback, NULL));
    must(nap(0.5));
    print_all();
    must(nap(1.5));
    print_all();
    drop(b);
    print_all();
    return 0;
}

static void task_current_and_all(void)
{
    must(run(current_main, NULL, NULL, NULL));
}

static int count(void *arg, void **ret_result, struct err *e)
{
    (void)e;
    for (int i = 0; i < NUMBER(arg); i++) {
        tout("%d", i);
        must(nap(1));
    }
    *ret_result = BOX(1000);
    return 0;
}

static void in_callback(struct future *f, void *arg)
{
    void *v;
    (void)arg;
    must(future_result(f, &v, NULL));
    tout("in callback: %d", NUMBER(v));
}

static void task_done_callback(void)
{
    void *kept, *returned;
    struct loop *l = need(loop_new(0));
    start_clock();
    struct task *t = need(loop_create_task(l, count, BOX(3), NULL));
    must(future_add_done_callback(task_future(t), in_callback, NULL));
    must(loop_run_until_complete(l, task_future(t), &returned, NULL));
    tout("----");
    must(loop_close(l, NULL));
    block(1);
    must(task_result(t, &kept, NULL));
    tout("3 %d", NUMBER(kept));
    tout("4 %d", NUMBER(returned));
    task_unref(t);
    loop_free(l);
}

static int bad(void *arg, void **ret_result, struct err *e)
{
    (void)ret_result;
    tout("bad runs");
    if (NUMBER(arg) > 0)
        must(nap(NUMBER(arg)));
    return err_set(e, -EINVAL, "broken");
}

static int exception_main(void *arg, void **ret_result, struct err *ret_err)
{
    (void)arg, (void)ret_result, (void)ret_err;
    start_clock();
    for (int n = 1; n >= 0; n--) {
        const struct error *x;
        struct err e;
        struct task *t = need(task_create(bad, BOX(n), NULL));
        must(nap(2));
        must(future_exception(task_future(t), &x, NULL));
        tout("done %s cancelled %s exception %s", yes(task_done(t)), yes(task_cancelled(t)),
             show_error(x));
        for (int i = 0; i < 2; i++)
            if (task_await(t, NULL, &e) < 0)
                tout("await raised %s", show(&e));
        task_unref(t);
    }
    return 0;
}

static void task_exception(void)
{
    must(run(exception_main, NULL, NULL, NULL));
}

static int job(void *arg, void **ret_result, struct err *e)
{
    (void)ret_result, (void)e;
    out("job %d", NUMBER(arg));
    return 0;
}

static void callback(void *arg)
{
    (void)arg;
    out("callback");
}

static int later_main(void *arg, void **ret_result, struct err *e)
{
    struct task *t[5];
    (void)arg, (void)ret_result, (void)e;
    t[1] = need(task_create(job, BOX(1), NULL));
    t[2] = need(task_create(job, BOX(2), NULL));
    out("created");
    block(2);
    out("blocked");
    need(loop_call_soon(loop_running(), callback, NULL));
    t[3] = need(task_create(job, BOX(3), NULL));
    must(task_sleep(0));
    out("main again");
    t[4] = need(task_create(job, BOX(4), NULL));
    must(task_await(t[1], NULL, NULL));
    out("awaited a finished task");
    must(task_await(t[4], NULL, NULL));
    out("awaited job 4: %s %s", yes(task_done(t[2])), yes(task_done(t[3])));
    for (int i = 1; i < 5; i++)
        task_unref(t[i]);
    return 0;
}

static void task_starts_later(void)
{
    must(run(later_main, NULL, NULL, NULL));
}

static const char *state(const struct task *t)
{
    if (task_cancelled(t))
        return "cancelled";
    return task_done(t) ? "finished" : "pending";
}

static int count_states(void *arg, void **ret_result, struct err *e)
{
    (void)e;
    out("inside: %s", state(task_current()));
    for (int i = 0; i < NUMBER(arg); i++) {
        tout("%d ~~~~", i);
        must(nap(1));
    }
    *ret_result = BOX(1000);
    return 0;
}

static void task_states(void)
{
    void *v;
    struct loop *l = need(loop_new(0));
    start_clock();
    struct task *t = need(loop_create_task(l, count_states, BOX(3), NULL));
    tout("1 %s", state(t));
    must(loop_run_until_complete(l, task_future(t), NULL, NULL));
    tout("2 %s", state(t));
    must(loop_close(l, NULL));
    must(task_result(t, &v, NULL));
    out("3 %d", NUMBER(v));
    task_unref(t);
    loop_free(l);
}

struct background {
    struct task *tasks[10];
    int count;
};

static void discard(struct future *f, void *arg)
{
    struct background *b = arg;
    for (int i = 0; i < 10; i++)
        if (b->tasks[i] == task_of(f)) {
            task_unref(b->tasks[i]);
            b->tasks[i] = NULL;
            b->count--;
        }
}

static int nap_and_end(void *arg, void **ret_result, struct err *e)
{
    (void)ret_result, (void)e;
    return nap(NUMBER(arg) + 1);
}

static int background_main(void *arg, void **ret_result, struct err *e)
{
    static const double naps[] = {3.5, 3, 4};
    struct background b = {.count = 10};
    (void)arg, (void)ret_result, (void)e;
    start_clock();
    for (int i = 0; i < 10; i++) {
        b.tasks[i] = need(task_create(nap_and_end, BOX(i), NULL));
        must(future_add_done_callback(task_future(b.tasks[i]), discard, &b));
    }
    out("size %d", b.count);
    for (int i = 0; i < 3; i++) {
        must(nap(naps[i]));
        out("size %d", b.count);
    }
    return 0;
}

static void background_set(void)
{
    must(run(background_main, NULL, NULL, NULL));
}

const struct scenario task_scenarios[] = {
    {"task-callbacks-vs-awaiter", task_callbacks_vs_awaiter},
    {"task-current-and-all", task_current_and_all},
    {"task-done-callback", task_done_callback},
    {"task-exception", task_exception},
    {"task-starts-later", task_starts_later},
    {"task-states", task_states},
    {"background-set", background_set},
    {NULL, NULL},
};
