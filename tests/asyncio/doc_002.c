/* doc_002.c - document 002: nested coroutines, stopping them, loops on other threads. */
#include <pthread.h>

#include "tests/asyncio/doc.h"
#include "worker/runtime/as_completed.h"
#include "worker/runtime/gather.h"
#include "worker/runtime/wait.h"

#define COUNT(x) (sizeof(x) / sizeof(x)[0])

/* -- nested coroutines -- */

static int work(void *arg, void **ret_result, struct err *e)
{
    (void)e;
    say("Waiting: %d", NUMBER(arg));
    *ret_result = arg;
    return nap(NUMBER(arg));
}

static void make_three(struct future *fs[3], int n1, int n2, int n3)
{
    const int n[] = {n1, n2, n3};
    for (int i = 0; i < 3; i++)
        fs[i] = task_future(need(task_create(work, BOX(n[i]), NULL)));
}

static void drop_all(struct future **fs, size_t count)
{
    for (size_t i = 0; i < count; i++)
        future_unref(fs[i]);
}

static void say_results(struct future *const *fs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        void *v;
        must(future_result(fs[i], &v, NULL));
        say("Task ret: Done after %d", NUMBER(v));
    }
}

static void say_gathered(const struct gathered *g)
{
    for (int i = 0; i < 3; i++)
        say("Task ret: Done after %d", NUMBER(g[i].value));
}

static int wait_main(void *arg, void **ret_result, struct err *e)
{
    struct future *fs[3];
    size_t done, pending;
    (void)arg, (void)ret_result;
    make_three(fs, 1, 2, 4);
    int r = future_wait(fs, 3, -1, WAIT_ALL_COMPLETED, &done, &pending, e);
    if (r == 0)
        say_results(fs, done);
    drop_all(fs, 3);
    return r;
}

static void by_hand(coro_fn fn)
{
    struct loop *l = need(loop_new(0));
    must(loop_run_coroutine(l, fn, NULL, NULL, NULL));
    l = loop_free(l);
}

/* A coroutine that waits for others: the longest is the time of all. */
static void nested_wait(void)
{
    by_hand(wait_main);
    say_cost("Time", 4);
}

/* Gives the gather of three, done. */
static int return_gather(void *arg, void **ret_result, struct err *e)
{
    struct future *fs[3];
    (void)arg;
    make_three(fs, 1, 2, 2);
    struct future *f = need(future_gather(fs, 3, 0));
    drop_all(fs, 3);
    *ret_result = f;
    return future_await(f, NULL, e);
}

static int gather_main(void *arg, void **ret_result, struct err *e)
{
    void *f, *v;
    (void)ret_result;
    int r = return_gather(arg, &f, e);
    must(future_result(f, &v, NULL));
    say_gathered(v);
    future_unref(f);
    return r;
}

/* With gather the await has the results themselves. */
static void nested_gather(void)
{
    by_hand(gather_main);
}

/* What the main coroutine returns comes out of the run of the loop: here the gathered results. */
static void gather_returned(void)
{
    struct loop *l = need(loop_new(0));
    void *f, *v;
    must(loop_run_coroutine(l, return_gather, NULL, &f, NULL));
    must(future_result(f, &v, NULL));
    say_gathered(v);
    future_unref(f);
    l = loop_free(l);
}

struct waited {
    struct future *fs[3];
    size_t done, pending;
};

static int return_wait(void *arg, void **ret_result, struct err *e)
{
    struct waited *w = arg;
    *ret_result = w;
    make_three(w->fs, 1, 2, 4);
    return future_wait(w->fs, 3, -1, WAIT_ALL_COMPLETED, &w->done, &w->pending, e);
}

/* And here the futures, done and pending; they outlive the run. */
static void wait_returned(void)
{
    struct loop *l = need(loop_new(0));
    struct waited w;
    must(loop_run_coroutine(l, return_wait, &w, NULL, NULL));
    say("pending %zu", w.pending);
    say_results(w.fs, w.done);
    drop_all(w.fs, 3);
    l = loop_free(l);
}

static int as_completed_main(void *arg, void **ret_result, struct err *e)
{
    struct future *fs[3];
    int r = 0;
    (void)arg, (void)ret_result;
    make_three(fs, 1, 2, 4);
    struct as_completed *a = need(as_completed_new(fs, 3, -1));
    while (r == 0 && as_completed_more(a)) {
        void *v;
        r = as_completed_next(a, NULL, &v, e);
        if (r == 0) {
            say("Task ret: Done after %d", NUMBER(v));
            expect(units() >= NUMBER(v), "a result came before its sleep was over");
        }
    }
    a = as_completed_free(a);
    drop_all(fs, 3);
    return r;
}

/* as_completed: each result as soon as it is there. */
static void completed(void)
{
    by_hand(as_completed_main);
}

/* -- stopping -- */

static void interrupt(void *arg)
{
    loop_interrupt(arg, ERROR_INTERRUPT);
}

/* Runs f until it is interrupted. A timer stands in for the fingers on Ctrl-C. */
static void run_interrupted(struct loop *l, struct future *f)
{
    struct err e;
    (void)later(l, 0.5, interrupt, l);
    expect(loop_run_until_complete(l, f, NULL, &e) == ERROR_INTERRUPT, "nothing interrupted it");
    say("%s", error_kind(e.code));
}

/* The tasks take their cancellation in one more iteration, and only then the loop is closed. */
static void run_once_and_close(struct loop *l)
{
    loop_stop(l);
    must(loop_run_forever(l, NULL));
    must(loop_close(l, NULL));
}

static int wait_for_three(void *arg, void **ret_result, struct err *e)
{
    struct future **fs = arg, *own[] = {fs[0], fs[1], fs[2]};
    size_t done, pending;
    (void)ret_result;
    return future_wait(own, 3, -1, WAIT_ALL_COMPLETED, &done, &pending, e);
}

/* Ctrl-C, then each task that the loop has is cancelled: three, and the one that waits. */
static void stop_each(void)
{
    struct loop *l = need(loop_new(0));
    struct future *fs[4];
    struct task **all;
    size_t count;
    for (int i = 0; i < 3; i++)
        fs[i] = task_future(need(loop_create_task(l, work, BOX(i + 1), NULL)));
    fs[3] = task_future(need(loop_create_task(l, wait_for_three, fs, NULL)));
    run_interrupted(l, fs[3]);
    must(task_all(l, &all, &count));
    for (size_t i = 0; i < count; i++)
        say("cancel: %s", yes(task_cancel(all[i])));
    task_all_free(all, count);
    run_once_and_close(l);
    for (int i = 0; i < 4; i++)
        expect(future_cancelled(fs[i]), "a task was not cancelled");
    drop_all(fs, 4);
    l = loop_free(l);
}

/* A gather of all tasks cancels them with one call, the main one with its children. */
static void stop_gathered(void)
{
    struct loop *l = need(loop_new(0));
    struct task *t = need(loop_create_task(l, wait_main, NULL, NULL)), **all;
    struct future *fs[4];
    size_t count;
    run_interrupted(l, task_future(t));
    must(task_all(l, &all, &count));
    say("tasks: %zu", count);
    for (size_t i = 0; i < count && i < COUNT(fs); i++)
        fs[i] = task_future(all[i]);
    struct future *f = need(future_gather(fs, count, 0));
    say("cancel: %s", yes(future_cancel(f)));
    task_all_free(all, count);
    run_once_and_close(l);
    expect(task_cancelled(t), "the main task was not cancelled");
    future_unref(f);
    task_unref(t);
    l = loop_free(l);
}

/* -- loops on other threads -- */

static void *start_loop(void *arg)
{
    must(loop_run_forever(arg, NULL));
    return NULL;
}

struct threaded {
    struct loop *loop;
    pthread_t thread;
};

static struct threaded begin_thread(void)
{
    struct threaded t = {.loop = need(loop_new(0))};
    must(-pthread_create(&t.thread, NULL, start_loop, t.loop));
    say("TIME");
    return t;
}

static void stop(void *arg)
{
    loop_stop(arg);
}

/* The tutorial's threads run for ever; here the loop is stopped behind what it was given. */
static void end_thread(struct threaded *t)
{
    must(loop_call_soon_threadsafe(t->loop, stop, t->loop));
    must(-pthread_join(t->thread, NULL));
    t->loop = loop_free(t->loop);
}

static void more_work(void *arg)
{
    say("More work %d", NUMBER(arg));
    block(NUMBER(arg));
    say("Finished more work %d", NUMBER(arg));
}

/* Callbacks for the loop of another thread: they block it, so their times add up. */
static void callbacks_there(void)
{
    struct threaded t = begin_thread();
    must(loop_call_soon_threadsafe(t.loop, more_work, BOX(6)));
    must(loop_call_soon_threadsafe(t.loop, more_work, BOX(3)));
    end_thread(&t);
    say_cost("both", 9);
}

static int some_work(void *arg, void **ret_result, struct err *e)
{
    (void)ret_result, (void)e;
    say("Waiting %d", NUMBER(arg));
    int r = nap(NUMBER(arg));
    say("Done %d", NUMBER(arg));
    return r;
}

static struct cfuture *submit(struct threaded *t, int n)
{
    return need(run_coroutine_threadsafe(t->loop, some_work, BOX(n), NULL));
}

static void wait_and_drop(struct cfuture *f)
{
    must(cfuture_result(f, -1, NULL, NULL));
    cfuture_unref(f);
}

/* Coroutines for it: they sleep side by side. */
static void coroutines_there(void)
{
    struct threaded t = begin_thread();
    struct cfuture *long_one = submit(&t, 6), *short_one = submit(&t, 4);
    wait_and_drop(long_one);
    wait_and_drop(short_one);
    end_thread(&t);
    say_cost("both", 6);
}

/* Master and worker: this thread looks for jobs, the other one runs them. No Redis client: a list
 * stands for the queue; at a 0 it is empty until the job before is done, and the master sleeps
 * after each look. */
static void master_and_worker(void)
{
    static const int queue[] = {2, 0, 5, 1, 0, 1};
    struct cfuture *jobs[COUNT(queue)];
    size_t count = 0;
    struct threaded t = begin_thread();
    for (size_t i = 0; i < COUNT(queue); i++)
        if (queue[i])
            jobs[count++] = submit(&t, queue[i]);
        else
            while (!cfuture_done(jobs[count - 1]))
                block(0.25);
    for (size_t i = 0; i < count; i++)
        wait_and_drop(jobs[i]);
    end_thread(&t);
}

#define WAITING_4 "Waiting: 1", "Waiting: 2", "Waiting: 4"
#define WAITING_2 "Waiting: 1", "Waiting: 2", "Waiting: 2"
#define RETURNED_4 "Task ret: Done after 1", "Task ret: Done after 2", "Task ret: Done after 4"
#define RETURNED_2 "Task ret: Done after 1", "Task ret: Done after 2", "Task ret: Done after 2"

static const struct example examples[] = {
    {"nested, wait", nested_wait, {WAITING_4, RETURNED_4, "Time"}},
    {"nested, gather", nested_gather, {WAITING_2, RETURNED_2}},
    {"a gather returned", gather_returned, {WAITING_2, RETURNED_2}},
    {"a wait returned", wait_returned, {WAITING_4, "pending 0", RETURNED_4}},
    {"as_completed", completed, {WAITING_4, RETURNED_4}},
    {"Ctrl-C, cancel each",
     stop_each,
     {"Waiting: 1", "Waiting: 2", "Waiting: 3", "KeyboardInterrupt", "cancel: true", "cancel: true",
      "cancel: true", "cancel: true"}},
    {"Ctrl-C, cancel a gather",
     stop_gathered,
     {WAITING_4, "KeyboardInterrupt", "tasks: 4", "cancel: true"}},
    {"callbacks on another thread",
     callbacks_there,
     {"TIME", "More work 6", "Finished more work 6", "More work 3", "Finished more work 3",
      "both"}},
    {"coroutines on another thread",
     coroutines_there,
     {"TIME", "Waiting 6", "Waiting 4", "Done 4", "Done 6", "both"}},
    {"master and worker",
     master_and_worker,
     {"TIME", "Waiting 2", "Done 2", "Waiting 5", "Waiting 1", "Done 1", "Waiting 1", "Done 1",
      "Done 5"}},
    {NULL, NULL, {NULL}},
};

int main(void)
{
    return document(examples);
}
