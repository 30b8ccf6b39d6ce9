/* The pool: a row of jobs under a lock, threads that take from its front. */
#include "worker/runtime/executor_work.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/thread.h"

#define THREADS_MAX 32

struct executor {
    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t more;  /* a job, or the end */
    pthread_cond_t gone;  /* a thread has ended */
    struct executor_work *first, **last;
    struct executor_work *at_end; /* run by the last thread, behind all jobs */
    unsigned refs, max, threads;
    unsigned queued, waiting; /* jobs in the row; threads in cond_wait, also those woken already */
    bool shut;
    const struct executor_kind *kind; /* NULL: threads; this and `own` never change */
    void *own;
};

static _Thread_local const struct executor *executor_of_thread; /* whose thread this is */

static unsigned default_threads(void)
{
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    return cpus < 1 ? 5 : cpus + 4 > THREADS_MAX ? THREADS_MAX : (unsigned)cpus + 4;
}

struct executor *executor_new_kind(unsigned max_threads, const struct executor_kind *kind,
                                   void *own)
{
    struct executor *x = calloc(1, sizeof *x);
    if (!x)
        return NULL;
    (void)pthread_mutex_init(&x->lock, NULL);
    (void)pthread_cond_init(&x->more, NULL);
    (void)pthread_cond_init(&x->gone, NULL);
    x->refs = 1;
    x->last = &x->first;
    x->max = max_threads;
    x->kind = kind;
    x->own = own;
    return x;
}

struct executor *executor_new(unsigned max_threads)
{
    return executor_new_kind(max_threads ? max_threads : default_threads(), NULL, NULL);
}

void *executor_own(const struct executor *x, const struct executor_kind *kind)
{
    return x->kind == kind ? x->own : NULL;
}

bool executor_has_kind(const struct executor *x)
{
    return x->kind;
}

struct executor *executor_ref(struct executor *x)
{
    GIVEN(x);
    (void)pthread_mutex_lock(&x->lock);
    x->refs++;
    (void)pthread_mutex_unlock(&x->lock);
    return x;
}

/* Takes the lock. The object lives as long as somebody refers to it or a thread of it runs. */
static void unlock_or_free(struct executor *x)
{
    bool last = !x->refs && !x->threads;
    (void)pthread_mutex_unlock(&x->lock);
    if (!last)
        return;
    assert(!x->first && !x->at_end);
    if (x->kind)
        x->kind->free(x->own);
    (void)pthread_mutex_destroy(&x->lock);
    (void)pthread_cond_destroy(&x->more);
    (void)pthread_cond_destroy(&x->gone);
    free(x);
}

void executor_unref(struct executor *x)
{
    if (!x)
        return;
    (void)pthread_mutex_lock(&x->lock);
    assert(x->refs);
    if (--x->refs == 0) {
        x->shut = true;
        (void)pthread_cond_broadcast(&x->more);
    }
    unlock_or_free(x);
}

static struct executor_work *take_row(struct executor *x)
{
    struct executor_work *row = x->first;
    x->first = NULL;
    x->last = &x->first;
    x->queued = 0;
    return row;
}

void executor_shutdown(struct executor *x, bool wait, bool cancel)
{
    GIVEN(x);
    if (wait && x == executor_of_thread)
        error_fatal("executor_shutdown: a thread of the executor would wait for itself");
    (void)pthread_mutex_lock(&x->lock);
    x->shut = true;
    struct executor_work *w = cancel ? take_row(x) : NULL, *next;
    (void)pthread_cond_broadcast(&x->more);
    (void)pthread_mutex_unlock(&x->lock);
    for (; w; w = next) {
        next = w->next;
        w->cancel(w);
    }
    (void)pthread_mutex_lock(&x->lock);
    while (wait && x->threads)
        (void)pthread_cond_wait(&x->gone, &x->lock);
    (void)pthread_mutex_unlock(&x->lock);
}

static struct executor_work *next_work(struct executor *x)
{
    x->waiting++;
    while (!x->first && !x->shut)
        (void)pthread_cond_wait(&x->more, &x->lock);
    x->waiting--;
    struct executor_work *w = x->first;
    if (!w)
        return NULL;
    x->queued--;
    if (!(x->first = w->next))
        x->last = &x->first;
    return w;
}

/* The last thread to leave, which is still counted: who submits at_end meanwhile relies on it. */
static struct executor_work *next_at_end(struct executor *x)
{
    struct executor_work *w = x->threads == 1 ? x->at_end : NULL;
    if (w)
        x->at_end = w->next;
    return w;
}

static void *pool_main(void *arg)
{
    struct executor *x = arg;
    thread_enter(&on_pool);
    executor_of_thread = x;
    (void)pthread_mutex_lock(&x->lock);
    for (struct executor_work *w; (w = next_work(x)) || (w = next_at_end(x));) {
        (void)pthread_mutex_unlock(&x->lock);
        w->run(w);
        (void)pthread_mutex_lock(&x->lock);
    }
    if (x->kind) {
        (void)pthread_mutex_unlock(&x->lock); /* shut, and at_end is for pools of threads */
        x->kind->leave(x->own);
        (void)pthread_mutex_lock(&x->lock);
    }
    x->threads--;
    (void)pthread_cond_broadcast(&x->gone);
    unlock_or_free(x);
    thread_leave();
    return NULL;
}

static int start_thread(struct executor *x)
{
    pthread_t id;
    pthread_attr_t detached;
    (void)pthread_attr_init(&detached);
    (void)pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    int r = pthread_create(&id, &detached, pool_main, x);
    (void)pthread_attr_destroy(&detached);
    x->threads += r == 0;
    return -r;
}

/* Under the lock: a thread will come to one more in the row. A busy thread may take what another
 * was woken for; that one waits on and still counts. */
static int provide_thread(struct executor *x)
{
    if (x->queued < x->waiting) {
        (void)pthread_cond_signal(&x->more);
        return 0;
    }
    int r = x->threads < x->max ? start_thread(x) : 0;
    bool may_wait = x->threads && x->max != EXECUTOR_AS_NEEDED;
    return may_wait ? 0 : r; /* one that runs comes to it later */
}

int executor_submit(struct executor *x, struct executor_work *w, struct err *e)
{
    (void)pthread_mutex_lock(&x->lock);
    int r = x->shut ? ERROR_RUNTIME : provide_thread(x);
    if (r == 0) {
        w->next = NULL;
        *x->last = w;
        x->last = &w->next;
        x->queued++;
    }
    (void)pthread_mutex_unlock(&x->lock);
    if (r == ERROR_RUNTIME)
        return err_set(e, r, "cannot schedule new futures after shutdown");
    return r < 0 ? err_set(e, r, "no thread can be started: %s", strerror(-r)) : 0;
}

void executor_end(struct executor *x, struct executor_work *w)
{
    assert(!x->kind);
    (void)pthread_mutex_lock(&x->lock);
    x->shut = true;
    (void)pthread_cond_broadcast(&x->more);
    bool over = x->threads == 0;
    if (!over) {
        w->next = x->at_end;
        x->at_end = w;
    }
    (void)pthread_mutex_unlock(&x->lock);
    if (over)
        w->run(w);
}
