/* conf_threads.c - scenarios of the area "threads". */
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>

#include "tests/asyncio/conf_gather.h"

struct other { /* a loop in a second thread */
    struct loop *loop;
    pthread_t thread;
};

static void *run_loop(void *l)
{
    must(loop_run_forever(l, NULL));
    return NULL;
}

static void start(struct other *o)
{
    o->loop = need(loop_new(0));
    must(-pthread_create(&o->thread, NULL, run_loop, o->loop));
    start_clock();
}

static void stop(void *l)
{
    loop_stop(l);
}

static void join(struct other *o)
{
    must(loop_call_soon_threadsafe(o->loop, stop, o->loop));
    must(-pthread_join(o->thread, NULL));
    loop_free(o->loop);
}

static struct cfuture *submit(struct other *o, coro_fn fn, void *arg)
{
    return need(run_coroutine_threadsafe(o->loop, fn, arg, NULL));
}

static void *result_of(struct cfuture *f)
{
    void *v;
    must(cfuture_result(f, -1, &v, NULL));
    return v;
}

static void more_work(void *arg)
{
    tout("More work %d", NUMBER(arg));
    block(NUMBER(arg));
    tout("Finished more work %d", NUMBER(arg));
}

static void threadsafe_callbacks(void)
{
    struct other o;
    start(&o);
    tout("TIME");
    must(loop_call_soon_threadsafe(o.loop, more_work, BOX(6)));
    must(loop_call_soon_threadsafe(o.loop, more_work, BOX(3)));
    block(1);
    tout("main is free");
    join(&o);
    tout("joined");
}

static int cancelled_work(void *event, void **ret_result, struct err *e)
{
    (void)ret_result, (void)e;
    tout("starts");
    int r = nap(9);
    if (r == -ECANCELED) {
        tout("coroutine cancelled");
        must(sem_post(event));
    }
    return r;
}

static void cancel_running(struct other *o, sem_t *event)
{
    struct err e;
    struct cfuture *f = submit(o, cancelled_work, event);
    block(1);
    bool r = cfuture_cancel(f);
    must(sem_wait(event));
    tout("cancel returned %s cancelled %s", yes(r), yes(cfuture_cancelled(f)));
    if (cfuture_result(f, -1, NULL, &e) < 0)
        tout("result raised %s", show(&e));
    cfuture_unref(f);
}

static void cancel_after_timeout(struct other *o, sem_t *event)
{
    struct err e;
    struct cfuture *f = submit(o, cancelled_work, event);
    if (cfuture_result(f, unit_ms(1), NULL, &e) == -ETIMEDOUT) {
        tout("%s", show(&e));
        (void)cfuture_cancel(f);
    }
    must(sem_wait(event));
    tout("cancelled %s", yes(cfuture_cancelled(f)));
    cfuture_unref(f);
}

static void threadsafe_cancel(void)
{
    struct other o;
    sem_t event;
    must(sem_init(&event, 0, 0));
    start(&o);
    cancel_running(&o, &event);
    cancel_after_timeout(&o, &event);
    join(&o);
}

static int waiting_work(void *arg, void **ret_result, struct err *e)
{
    (void)e;
    tout("Waiting %d", NUMBER(arg));
    must(nap(NUMBER(arg)));
    tout("Done after %du", NUMBER(arg));
    *ret_result = arg;
    return 0;
}

static void threadsafe_coroutines(void)
{
    struct other o;
    start(&o);
    struct cfuture *f6 = submit(&o, waiting_work, BOX(6)), *f4 = submit(&o, waiting_work, BOX(4));
    block(1);
    tout("main is free");
    int six = NUMBER(result_of(f6)), four = NUMBER(result_of(f4));
    tout("results %d %d", six, four);
    cfuture_unref(f6), cfuture_unref(f4);
    join(&o);
}

static int nap_and_return(void *arg, void **ret_result, struct err *e)
{
    (void)e;
    must(nap(1));
    *ret_result = arg;
    return 0;
}

struct seen {
    struct other *other;
    sem_t event;
};

static void print_where(struct cfuture *f, struct seen *s, const char *name)
{
    bool there = pthread_equal(pthread_self(), s->other->thread);
    tout("%s %s on the loop's thread: %s", name, TEXT(result_of(f)), yes(there));
}

static void first(struct cfuture *f, void *arg)
{
    struct seen *s = arg;
    print_where(f, s, "first");
    must(sem_post(&s->event));
}

static void second(struct cfuture *f, void *arg)
{
    print_where(f, arg, "second");
}

static int silent(struct loop *l, const struct loop_report *r, void *arg, struct err *e)
{
    (void)l, (void)r, (void)arg, (void)e;
    return 0;
}

static void silence(void *l)
{
    loop_set_exception_handler(l, silent, NULL);
}

static void broken(struct cfuture *f, void *arg)
{
    (void)f, (void)arg;
    loop_raise(ERROR_RUNTIME, "ignored");
}

static void threadsafe_done_callback(void)
{
    struct other o;
    struct seen s = {.other = &o};
    must(sem_init(&s.event, 0, 0));
    start(&o);
    must(loop_call_soon_threadsafe(o.loop, silence, o.loop));
    struct cfuture *f = submit(&o, nap_and_return, BOX("v"));
    must(cfuture_add_done_callback(f, broken, NULL));
    must(cfuture_add_done_callback(f, first, &s));
    must(sem_wait(&s.event));
    must(cfuture_add_done_callback(f, second, &s));
    cfuture_unref(f);
    f = submit(&o, nap_and_return, BOX("w"));
    const char *w = result_of(f);
    tout("next %s", w);
    cfuture_unref(f);
    join(&o);
}

static int failing_work(void *arg, void **ret_result, struct err *e)
{
    int k = NUMBER(arg);
    if (k == 4)
        return err_set(e, ERROR_RUNTIME, "at once");
    must(nap(1));
    if (k == 2)
        return err_set(e, -EINVAL, "in loop");
    if (k == 3) {
        (void)task_cancel(task_current());
        int r = nap(1);
        if (r < 0)
            return r;
    }
    *ret_result = BOX(k == 1 ? "ok" : "still alive");
    return 0;
}

static void threadsafe_exception(void)
{
    struct other o;
    start(&o);
    for (int k = 1; k <= 5; k++) {
        struct err e;
        void *v;
        const struct error *x;
        struct cfuture *f = submit(&o, failing_work, BOX(k));
        if (cfuture_result(f, -1, &v, &e) == 0)
            tout("%d result %s", k, TEXT(v));
        else
            tout("%d raised %s", k, show(&e));
        if (k <= 2) {
            must(cfuture_exception(f, -1, &x, NULL));
            out("exception %s", show_error(x));
        }
        cfuture_unref(f);
    }
    join(&o);
}

struct job {
    const char *name;
    int naps, cleanup;
    struct task *task;
};

static int job_body(void *arg, void **ret_result, struct err *e)
{
    const struct job *j = arg;
    (void)ret_result, (void)e;
    tout("%s starts", j->name);
    int r = nap(j->naps);
    tout("%s %s", j->name, r == 0 ? "ends" : "cancelled");
    if (r == -ECANCELED && j->cleanup > 0) {
        must(nap(j->cleanup));
        tout("%s clean", j->name);
    }
    return r;
}

static int submit_job(void *arg, void **ret_result, struct err *e)
{
    struct job *j = arg;
    (void)ret_result, (void)e;
    j->task = need(task_create(job_body, j, j->name));
    return 0;
}

static int shutdown_jobs(void *arg, void **ret_result, struct err *e)
{
    struct job *jobs = arg;
    struct future *live[3];
    const struct gathered *ends;
    int count = 0, cancelled = 0;
    (void)e;
    for (int i = 0; i < 3; i++) {
        if (task_cancel(jobs[i].task))
            live[count++] = task_future(jobs[i].task);
        else
            task_unref(jobs[i].task); /* it was done */
    }
    struct future *all = gather_all(live, (size_t)count, &ends);
    for (int i = 0; i < count; i++)
        cancelled += ends[i].code == -ECANCELED;
    future_unref(all);
    *ret_result = BOX(cancelled);
    return 0;
}

static void threadsafe_orderly_shutdown(void)
{
    struct job jobs[3] = {{"short", 2, 0, NULL}, {"long", 9, 0, NULL}, {"guard", 9, 2, NULL}};
    struct other o;
    start(&o);
    for (int i = 0; i < 3; i++) {
        struct cfuture *f = submit(&o, submit_job, &jobs[i]);
        (void)result_of(f);
        cfuture_unref(f);
    }
    block(3);
    struct cfuture *f = submit(&o, shutdown_jobs, jobs);
    int cancelled = NUMBER(result_of(f));
    tout("cancelled %d", cancelled);
    cfuture_unref(f);
    join(&o);
    tout("joined");
}

static int three_naps(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)e;
    must(nap(3));
    *ret_result = BOX("v");
    return 0;
}

static void threadsafe_result_timeout(void)
{
    struct other o;
    struct err e;
    void *again;
    start(&o);
    struct cfuture *f = submit(&o, three_naps, NULL);
    if (cfuture_result(f, unit_ms(1), NULL, &e) < 0)
        tout("%s", show(&e));
    out("done %s cancelled %s", yes(cfuture_done(f)), yes(cfuture_cancelled(f)));
    const char *v = result_of(f);
    tout("%s", v);
    must(cfuture_result(f, 0, &again, NULL));
    out("done %s again %s", yes(cfuture_done(f)), TEXT(again));
    cfuture_unref(f);
    join(&o);
}

static void say(void *text)
{
    tout("%s", TEXT(text));
}

static void block_two(void *arg)
{
    (void)arg;
    block(2);
}

static void threadsafe_wakes_idle_loop(void)
{
    static const struct {
        const char *text;
        int wait;
    } rows[] = {{"callback 1", 1}, {"callback 2", 1}, {"callback 3", 2}};
    struct other o;
    o.loop = need(loop_new(0));
    later(o.loop, 500, say, BOX("never"));
    must(-pthread_create(&o.thread, NULL, run_loop, o.loop));
    start_clock();
    for (int i = 0; i < 3; i++) {
        block(rows[i].wait);
        must(loop_call_soon_threadsafe(o.loop, say, BOX(rows[i].text)));
    }
    block(1);
    must(loop_call_soon_threadsafe(o.loop, block_two, NULL));
    must(loop_call_soon_threadsafe(o.loop, say, BOX("callback 4")));
    join(&o);
    tout("joined");
}

const struct scenario thread_scenarios[] = {
    {"threadsafe-callbacks", threadsafe_callbacks},
    {"threadsafe-cancel", threadsafe_cancel},
    {"threadsafe-coroutines", threadsafe_coroutines},
    {"threadsafe-done-callback", threadsafe_done_callback},
    {"threadsafe-exception", threadsafe_exception},
    {"threadsafe-orderly-shutdown", threadsafe_orderly_shutdown},
    {"threadsafe-result-timeout", threadsafe_result_timeout},
    {"threadsafe-wakes-idle-loop", threadsafe_wakes_idle_loop},
    {NULL, NULL},
};
