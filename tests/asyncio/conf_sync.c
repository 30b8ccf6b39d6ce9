/* conf_sync.c - scenarios of the area "sync". */
#include "tests/asyncio/conf_gather.h"
#include "worker/runtime/aqueue.h"
#include "worker/runtime/event.h"
#include "worker/runtime/lock.h"
#include "worker/runtime/semaphore.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

static struct future *started(coro_fn fn, void *arg)
{
    return task_future(need(task_create(fn, arg, NULL)));
}

static void wait_all(struct future *const *f, size_t n)
{
    const struct gathered *results;
    future_unref(gather_all(f, n, &results));
}

/* -- event-broadcast -- */

struct watcher {
    const char *name;
    struct event *event;
};

static int watch(void *arg, void **ret_result, struct err *e)
{
    struct watcher *w = arg;
    (void)ret_result;
    int r = event_wait(w->event, e);
    if (r == 0)
        tout("%s resumes, set: %s", w->name, yes(event_is_set(w->event)));
    return r;
}

static int event_main(void *arg, void **ret_result, struct err *e)
{
    struct event v;
    struct watcher w[] = {{"w1", &v}, {"w2", &v}, {"w3", &v}, {"w4", &v}, {"w5", &v}};
    struct future *f[3];
    (void)arg, (void)ret_result;
    event_init(&v);
    start_clock();
    for (size_t i = 0; i < COUNT(f); i++)
        f[i] = started(watch, &w[i]);
    must(nap(1));
    event_set(&v);
    wait_all(f, COUNT(f));
    must(watch(&w[3], NULL, e));
    event_clear(&v);
    struct task *t = need(task_create(watch, &w[4], NULL));
    must(nap(2));
    event_set(&v);
    event_clear(&v);
    drop(t);
    return 0;
}

static void event_broadcast(void)
{
    must(run(event_main, NULL, NULL, NULL));
}

/* -- lock-cancelled-waiter, lock-fifo -- */

struct user {
    const char *name;
    struct lock *lock;
    int hold;
};

static int use(void *arg, void **ret_result, struct err *e)
{
    struct user *u = arg;
    (void)ret_result;
    int r = lock_acquire(u->lock, e);
    if (r == 0) {
        tout("%s has it", u->name);
        r = nap(u->hold);
        must(lock_release(u->lock, NULL));
    }
    if (r < 0)
        tout("%s cancelled, locked: %s", u->name, yes(lock_locked(u->lock)));
    return r;
}

static int cancelled_main(void *arg, void **ret_result, struct err *e)
{
    struct lock l;
    struct user u[] = {{"h", &l, 4},  {"w1", &l, 1}, {"w2", &l, 1},
                       {"w3", &l, 1}, {"h2", &l, 9}, {"w4", &l, 1}};
    struct future *f[4];
    (void)arg, (void)ret_result, (void)e;
    lock_init(&l);
    start_clock();
    for (size_t i = 0; i < COUNT(f); i++)
        f[i] = started(use, &u[i]);
    must(nap(1));
    (void)future_cancel(f[2]);
    wait_all(f, COUNT(f));
    tout("free");
    struct task *h2 = need(task_create(use, &u[4], NULL)),
                *w4 = need(task_create(use, &u[5], NULL));
    must(nap(1));
    (void)task_cancel(h2);
    drop(w4);
    tout("end");
    task_unref(h2);
    return 0;
}

static void lock_cancelled_waiter(void)
{
    must(run(cancelled_main, NULL, NULL, NULL));
}

static int use_twice(void *arg, void **ret_result, struct err *e)
{
    struct user *u = arg;
    (void)ret_result;
    must(lock_acquire(u->lock, e));
    tout("%s has it", u->name);
    must(nap(2));
    tout("%s gives it back", u->name);
    must(lock_release(u->lock, NULL));
    must(lock_acquire(u->lock, e));
    tout("%s again", u->name);
    must(nap(1));
    must(lock_release(u->lock, NULL));
    return 0;
}

static int fifo_main(void *arg, void **ret_result, struct err *e)
{
    struct lock l;
    struct user u[] = {{"A", &l, 0}, {"B", &l, 0}, {"C", &l, 0}};
    struct future *f[3];
    struct err why;
    (void)arg, (void)ret_result, (void)e;
    lock_init(&l);
    start_clock();
    for (size_t i = 0; i < COUNT(f); i++)
        f[i] = started(use_twice, &u[i]);
    wait_all(f, COUNT(f));
    tout("locked: %s", yes(lock_locked(&l)));
    (void)lock_release(&l, &why);
    out("%s", show(&why));
    return 0;
}

static void lock_fifo(void)
{
    must(run(fifo_main, NULL, NULL, NULL));
}

/* -- queue-bounded -- */

static int produce(void *arg, void **ret_result, struct err *e)
{
    (void)ret_result;
    for (int k = 1; k <= 5; k++) {
        must(aqueue_put(arg, BOX(k), e));
        tout("put %d", k);
    }
    tout("producer ends");
    return 0;
}

static int consume(void *arg, void **ret_result, struct err *e)
{
    (void)ret_result;
    must(nap(1));
    for (int i = 0; i < 5; i++) {
        void *k;
        must(aqueue_get(arg, &k, e));
        tout("got %d (size %zu)", NUMBER(k), aqueue_size(arg));
        must(nap(2));
    }
    return 0;
}

static int bounded_main(void *arg, void **ret_result, struct err *e)
{
    struct aqueue *q = need(aqueue_new(2));
    (void)arg, (void)ret_result, (void)e;
    start_clock();
    struct future *f[] = {started(produce, q), started(consume, q)};
    wait_all(f, COUNT(f));
    tout("empty: %s", yes(aqueue_empty(q)));
    (void)aqueue_free(q);
    return 0;
}

static void queue_bounded(void)
{
    must(run(bounded_main, NULL, NULL, NULL));
}

/* -- queue-workers -- */

struct piece {
    const char *name;
    double units;
};

struct hand {
    const char *name;
    struct aqueue *queue;
};

static int work(void *arg, void **ret_result, struct err *e)
{
    struct hand *h = arg;
    (void)ret_result;
    for (;;) {
        void *item;
        int r = aqueue_get(h->queue, &item, e);
        if (r < 0)
            return r;
        struct piece *p = item;
        tout("%s takes %s", h->name, p->name);
        r = nap(p->units);
        if (r < 0)
            return r;
        must(aqueue_task_done(h->queue, e));
    }
}

static int workers_main(void *arg, void **ret_result, struct err *e)
{
    struct piece pieces[] = {{"a", 3},   {"b", 2}, {"c", 3}, {"d", 1},
                             {"e", 3.5}, {"f", 1}, {"g", 2}};
    struct aqueue *q = need(aqueue_new(0));
    struct hand hands[] = {{"W1", q}, {"W2", q}};
    const struct gathered *ends;
    struct err why;
    (void)arg, (void)ret_result;
    start_clock();
    for (size_t i = 0; i < COUNT(pieces); i++)
        must(aqueue_put_nowait(q, &pieces[i], e));
    struct future *f[] = {started(work, &hands[0]), started(work, &hands[1])};
    must(aqueue_join(q, e));
    tout("all done, size %zu", aqueue_size(q));
    for (size_t i = 0; i < COUNT(f); i++)
        (void)future_cancel(f[i]);
    struct future *all = gather_all(f, COUNT(f), &ends);
    out("%s", show_gathered(ends, COUNT(f)));
    future_unref(all);
    (void)aqueue_task_done(q, &why);
    out("%s", error_kind(why.code));
    (void)aqueue_free(q);
    return 0;
}

static void queue_workers(void)
{
    must(run(workers_main, NULL, NULL, NULL));
}

/* -- semaphore-limit -- */

struct limited {
    struct semaphore *semaphore;
    int number, units;
    int *inside; /* now, and at most */
};

static int enter(void *arg, void **ret_result, struct err *e)
{
    struct limited *j = arg;
    (void)ret_result;
    must(semaphore_acquire(j->semaphore, e));
    j->inside[0]++;
    if (j->inside[0] > j->inside[1])
        j->inside[1] = j->inside[0];
    tout("j%d in", j->number);
    must(nap(j->units));
    tout("j%d out", j->number);
    j->inside[0]--;
    must(semaphore_release(j->semaphore, e));
    return 0;
}

static void say_locked(void *semaphore)
{
    tout("locked: %s", yes(semaphore_locked(semaphore)));
}

static int semaphore_main(void *arg, void **ret_result, struct err *e)
{
    static const int lengths[] = {2, 3, 2, 3, 1};
    struct semaphore s;
    int inside[2] = {0, 0};
    struct limited jobs[COUNT(lengths)];
    struct future *f[COUNT(lengths)];
    (void)arg, (void)ret_result, (void)e;
    semaphore_init(&s, 2);
    start_clock();
    (void)need(later(loop_running(), 1, say_locked, &s));
    for (size_t i = 0; i < COUNT(f); i++) {
        jobs[i] = (struct limited){&s, (int)i + 1, lengths[i], inside};
        f[i] = started(enter, &jobs[i]);
    }
    wait_all(f, COUNT(f));
    tout("highest: %d locked: %s", inside[1], yes(semaphore_locked(&s)));
    return 0;
}

static void semaphore_limit(void)
{
    must(run(semaphore_main, NULL, NULL, NULL));
}

const struct scenario sync_scenarios[] = {
    {"event-broadcast", event_broadcast},
    {"lock-cancelled-waiter", lock_cancelled_waiter},
    {"lock-fifo", lock_fifo},
    {"queue-bounded", queue_bounded},
    {"queue-workers", queue_workers},
    {"semaphore-limit", semaphore_limit},
    {0},
};
