/* One task a job: what the master submits becomes a coroutine on this loop, its outcome goes back
 * by the results mailbox. */
#include "worker/worker.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "common/thread.h"
#include "worker/crash.h"
#include "worker/handler/handler.h"
#include "worker/runtime/loop.h"
#include "worker/runtime/process.h"
#include "worker/runtime/run.h"
#include "worker/runtime/stack.h"
#include "worker/runtime/task.h"

struct hook { /* what a queue's handler has here */
    const struct handler *handler;
    void *state;
    bool ready;
};

struct post { /* a message without a payload; posted again only after it was run */
    struct loop_item item;
    struct worker *worker;
    atomic_bool out;
};

/* Jobs that ended close together share one wake-up of the master. On the loop's thread; once that
 * is joined, on the master. */
struct wake {
    struct loop_item item; /* first: at the loop's next turn it is done */
    struct worker *worker;
    bool posted;
    bool owed;        /* there is mail of which the master was not told */
    int64_t since_ms; /* ... so long */
};

/* job->away. Who finds AWAY may post the message that names the job, and finds its carrier there:
 * a job that ends while the message is out goes back only behind it. */
enum away {
    NOT_AWAY, /* its outcome is on its way back, or it never left */
    AWAY,
    ASKED, /* the message is out */
};

struct worker {
    const struct conf *conf;
    unsigned index;
    struct mailbox *results;
    struct loop *loop;
    pthread_t thread;
    bool started;
    sem_t up;   /* init hooks have run, or failed */
    sem_t down; /* no task is left */
    struct err failed;
    struct hook *hooks; /* by queue */
    struct post poke, stop;
    struct wake wake;
    _Atomic uint64_t progress;
    uint64_t progress_before; /* the end began; the master's */
};

struct carrier { /* takes a job through the loop */
    struct loop_job task;
    struct loop_item cancel;
    struct worker *worker;
    struct job *job;
    struct handle *alarm; /* its time limit; NULL: none */
    bool ended;           /* the message is still out */
};

/* Its cleaning up is disturbed at most once: by the end of the daemon. */
static void cancel_task(struct carrier *c)
{
    unsigned most = atomic_load(&c->job->at_once) ? 2 : 1;
    if (c->task.task && task_cancelling(c->task.task) < most)
        (void)task_cancel(c->task.task);
}

static void on_alarm(void *arg)
{
    struct carrier *c = arg;
    (void)job_cancel(c->job, CANCEL_TIMEOUT);
    cancel_task(c);
}

static int set_alarm(struct carrier *c)
{
    int64_t ms = c->job->conf->timeout_ms;
    struct handle *h = ms ? loop_call_later(c->worker->loop, ms, on_alarm, c) : NULL;
    if (ms && !h)
        return -ENOMEM;
    c->alarm = h ? handle_ref(h) : NULL;
    return 0;
}

static void drop_alarm(struct carrier *c)
{
    if (!c->alarm)
        return;
    handle_cancel(c->alarm);
    handle_unref(c->alarm);
    c->alarm = NULL;
}

/* Awaits what the handler awaits. */
static int run_job(void *arg, void **ret_result, struct err *e)
{
    (void)ret_result, (void)e;
    struct carrier *c = arg;
    struct job *j = c->job;
    const struct hook *hook = &c->worker->hooks[j->conf - c->worker->conf->queues];
    if (clock_boot_ms() >= atomic_load(j->start_until)) {
        j->outcome = JOB_LATE;
        return 0;
    }
    if (atomic_load(&j->cancel) != CANCEL_NONE)
        return 0; /* JOB_CANCELLED, as it was set */
    if (set_alarm(c) < 0) {
        j->outcome = JOB_AGAIN;
        return 0;
    }
    struct err why = {0};
    crash_job(j);
    atomic_store(&j->begun, true);
    int64_t begun_ms = clock_now_ms();
    j->outcome = hook->handler->run(j, hook->state, &why);
    j->run_ms = clock_now_ms() - begun_ms;
    drop_alarm(c);
    free(j->reason); /* of a run before, that found no memory */
    /* Without memory for it: a dead letter without a reason. */
    j->reason = why.code ? strdup(why.text) : NULL;
    return 0;
}

/* ---- jobs that have ended go back ---- */

static void wake_master(struct worker *w)
{
    if (w->wake.owed)
        mailbox_wake(w->results);
    w->wake.owed = false;
}

static void turn_over(struct loop_item *item)
{
    struct wake *k = (struct wake *)item; /* its first member */
    k->posted = false;
    wake_master(k->worker);
}

static const struct loop_item_ops wake_ops = {turn_over, turn_over};

/* The master is woken when the turn is over; in a long one, after a millisecond. */
static void wake_soon(struct worker *w)
{
    struct wake *k = &w->wake;
    int64_t now = clock_now_ms();
    if (!k->owed)
        k->since_ms = now;
    k->owed = true;
    if (!k->posted)
        k->posted = loop_post(w->loop, &k->item) == 0;
    if (!k->posted || now > k->since_ms)
        wake_master(w);
}

static void hand_back(struct carrier *c)
{
    struct worker *w = c->worker;
    struct job *j = c->job;
    free(c);
    mailbox_push(w->results, &j->mail);
    wake_soon(w);
}

static void job_ended(struct loop_job *task, int code, void *result, const struct err *e)
{
    (void)result, (void)e;
    struct carrier *c = (struct carrier *)task; /* its first member */
    struct job *j = c->job;
    if (code)
        j->outcome = code == -ENOMEM ? JOB_AGAIN : JOB_CANCELLED;
    c->ended = true;
    if (atomic_exchange(&j->away, NOT_AWAY) != ASKED)
        hand_back(c);
}

/* ---- one job is cancelled ---- */

static struct carrier *named(struct loop_item *item)
{
    struct carrier *c = (struct carrier *)(void *)((char *)item - offsetof(struct carrier, cancel));
    if (!c->ended)
        atomic_store(&c->job->away, AWAY);
    return c;
}

static void cancel_job(struct loop_item *item)
{
    struct carrier *c = named(item);
    if (c->ended)
        hand_back(c);
    else
        cancel_task(c);
}

static void drop_cancel(struct loop_item *item)
{
    struct carrier *c = named(item);
    if (c->ended)
        hand_back(c);
}

static const struct loop_item_ops cancel_ops = {cancel_job, drop_cancel};

void worker_cancel(struct worker *w, struct job *j)
{
    int away = AWAY;
    if (!atomic_compare_exchange_strong(&j->away, &away, ASKED))
        return; /* it is on its way back, or asked already */
    int r = loop_post(w->loop, &j->carrier->cancel);
    assert(r == 0); /* the loop is closed by worker_free */
}

int worker_submit(struct worker *w, struct job *j)
{
    struct carrier *c = malloc(sizeof *c);
    if (!c)
        return -ENOMEM;
    *c = (struct carrier){
        .task = {.fn = run_job, .arg = c, .name = j->conf->name, .done = job_ended},
        .cancel = {.ops = &cancel_ops},
        .worker = w,
        .job = j};
    j->carrier = c;
    j->outcome = JOB_CANCELLED; /* unless it gets further */
    atomic_store(&j->away, AWAY);
    int r = loop_submit(w->loop, &c->task);
    if (r < 0) {
        j->outcome = JOB_NONE;
        atomic_store(&j->away, NOT_AWAY);
        free(c);
    }
    return r;
}

/* ---- messages ---- */

static struct worker *arrived(struct loop_item *item)
{
    struct post *p = (struct post *)item; /* its first member */
    atomic_store(&p->out, false);
    return p->worker;
}

static void make_progress(struct loop_item *item)
{
    atomic_fetch_add(&arrived(item)->progress, 1);
}

static void stop_loop(struct loop_item *item)
{
    loop_stop(arrived(item)->loop);
}

static void dropped(struct loop_item *item)
{
    (void)arrived(item);
}

static const struct loop_item_ops poke_ops = {make_progress, dropped};
static const struct loop_item_ops stop_ops = {stop_loop, dropped};

static void post(struct post *p)
{
    if (!atomic_exchange(&p->out, true) && loop_post(p->worker->loop, &p->item) < 0)
        atomic_store(&p->out, false);
}

void worker_poke(struct worker *w)
{
    post(&w->poke);
}

uint64_t worker_progress(const struct worker *w)
{
    return atomic_load(&w->progress);
}

/* ---- the thread ---- */

const char *worker_stack_guard(void)
{
    return stack_guard_name();
}

static int run_init_hooks(struct worker *w)
{
    for (size_t i = 0; i < w->conf->nqueues; i++) {
        struct hook *h = &w->hooks[i];
        h->handler = handler_find(w->conf->queues[i].handler.type);
        assert(h->handler); /* the configuration has checked it */
        int r = h->handler->init ? h->handler->init(&w->conf->queues[i], &h->state, &w->failed) : 0;
        if (r < 0)
            return r;
        h->ready = true;
    }
    return 0;
}

static void run_exit_hooks(struct worker *w)
{
    for (size_t i = 0; i < w->conf->nqueues; i++)
        if (w->hooks[i].ready && w->hooks[i].handler->exit)
            w->hooks[i].handler->exit(w->hooks[i].state);
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    struct err e = {0};
    char name[16];
    (void)snprintf(name, sizeof name, "worker %u", w->index);
    (void)pthread_setname_np(pthread_self(), name); /* as top -H and gdb show it */
    thread_enter(&on_worker);
    int r = run_init_hooks(w);
    (void)sem_post(&w->up);
    if (r == 0) {
        (void)loop_run_forever(w->loop, &e);
        (void)run_teardown(w->loop, &e); /* cancels what still runs and waits for it */
        wake_master(w);
    }
    (void)sem_post(&w->down);
    run_exit_hooks(w);
    thread_leave();
    return NULL;
}

struct worker *worker_new(const struct conf *conf, unsigned index, struct mailbox *results,
                          struct err *e)
{
    struct worker *w = calloc(1, sizeof *w);
    if (!w) {
        (void)err_set(e, -ENOMEM, "no memory for worker %u", index);
        return NULL;
    }
    w->conf = conf;
    w->index = index;
    w->results = results;
    w->poke = (struct post){.item = {.ops = &poke_ops}, .worker = w};
    w->stop = (struct post){.item = {.ops = &stop_ops}, .worker = w};
    w->wake = (struct wake){.item = {.ops = &wake_ops}, .worker = w};
    (void)sem_init(&w->up, 0, 0);
    (void)sem_init(&w->down, 0, 0);
    w->hooks = calloc(conf->nqueues, sizeof *w->hooks);
    w->loop = loop_new(0);
    if (!w->hooks || !w->loop) {
        (void)err_set(e, -ENOMEM, "no memory for the loop of worker %u", index);
        return worker_free(w);
    }
    int r = pthread_create(&w->thread, NULL, worker_main, w);
    if (r) {
        (void)err_set(e, -r, "cannot start the thread of worker %u: %s", index, strerror(r));
        return worker_free(w);
    }
    w->started = true;
    while (sem_wait(&w->up) < 0)
        ; /* a signal */
    if (!w->failed.code)
        return w;
    if (e)
        *e = w->failed;
    return worker_free(w);
}

void worker_stop(struct worker *w)
{
    w->progress_before = worker_progress(w);
    post(&w->stop);
    post(&w->poke);
}

bool worker_moves(const struct worker *w)
{
    return worker_progress(w) != w->progress_before;
}

void worker_kill_children(void)
{
    process_kill_all();
}

bool worker_ended(struct worker *w, int64_t by_ms)
{
    struct timespec by = {.tv_sec = by_ms / 1000, .tv_nsec = by_ms % 1000 * 1000000};
    int r;
    do {
        r = sem_clockwait(&w->down, CLOCK_MONOTONIC, &by);
    } while (r < 0 && errno == EINTR);
    return r == 0;
}

struct worker *worker_free(struct worker *w)
{
    if (!w)
        return NULL;
    if (w->started) {
        worker_stop(w);
        (void)pthread_join(w->thread, NULL);
    }
    (void)loop_free(w->loop);
    (void)sem_destroy(&w->up);
    (void)sem_destroy(&w->down);
    free(w->hooks);
    free(w);
    return NULL;
}
