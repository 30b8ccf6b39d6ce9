/* bench_threadsafe.c - handing work to a loop from another thread: how many a second, in each of
 * its forms, and a round trip beside that of a bare pair of eventfds. `bench_threadsafe
 * [submissions]`. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/clock.h"
#include "worker/runtime/cfuture.h"
#include "worker/runtime/task.h"

#define TRIPS 20000

struct bench {
    struct loop *loop;
    pthread_t thread;
    long count;
    atomic_long done;
};

static void *run_loop(void *arg)
{
    struct bench *b = arg;
    (void)loop_run_forever(b->loop, NULL);
    return NULL;
}

static void stop(void *l)
{
    loop_stop(l);
}

static void begin(struct bench *b)
{
    b->loop = loop_new(0);
    if (!b->loop || pthread_create(&b->thread, NULL, run_loop, b) != 0)
        error_fatal("no loop in a thread");
}

static void end(struct bench *b)
{
    (void)loop_call_soon_threadsafe(b->loop, stop, b->loop);
    (void)pthread_join(b->thread, NULL);
    loop_free(b->loop);
}

/* Prints how fast b->count went, once the loop has done them all. */
static void report(struct bench *b, const char *what, int64_t start_ns)
{
    int64_t submitted_ns = clock_now_ns();
    while (atomic_load(&b->done) < b->count)
        usleep(200);
    int64_t end_ns = clock_now_ns();
    (void)printf("%-28s submitted %5.2f M/s, done %5.2f M/s\n", what,
                 (double)b->count * 1e3 / (double)(submitted_ns - start_ns),
                 (double)b->count * 1e3 / (double)(end_ns - start_ns));
    atomic_store(&b->done, 0);
}

struct post {
    struct loop_item item;
    struct bench *bench;
};

static void count_post(struct loop_item *i)
{
    struct post *p = (struct post *)(void *)i;
    atomic_fetch_add_explicit(&p->bench->done, 1, memory_order_relaxed);
}

static const struct loop_item_ops post_ops = {count_post, count_post};

static void posts(struct bench *b)
{
    struct post *p = calloc((size_t)b->count, sizeof *p);
    for (long i = 0; p && i < b->count; i++)
        p[i] = (struct post){.item = {.ops = &post_ops}, .bench = b};
    int64_t t0 = clock_now_ns();
    for (long i = 0; p && i < b->count; i++)
        (void)loop_post(b->loop, &p[i].item);
    report(b, "loop_post", t0);
    free(p);
}

static int count_task(void *arg, void **ret_result, struct err *e)
{
    struct bench *b = arg;
    (void)ret_result, (void)e;
    atomic_fetch_add_explicit(&b->done, 1, memory_order_relaxed);
    return 0;
}

static void no_news(struct loop_job *job, int code, void *result, const struct err *e)
{
    (void)job, (void)code, (void)result, (void)e;
}

static void jobs(struct bench *b)
{
    struct loop_job *j = calloc((size_t)b->count, sizeof *j);
    for (long i = 0; j && i < b->count; i++)
        j[i] = (struct loop_job){.fn = count_task, .arg = b, .done = no_news};
    int64_t t0 = clock_now_ns();
    for (long i = 0; j && i < b->count; i++)
        (void)loop_submit(b->loop, &j[i]);
    report(b, "loop_submit (a task each)", t0);
    free(j);
}

static void count_call(void *arg)
{
    struct bench *b = arg;
    atomic_fetch_add_explicit(&b->done, 1, memory_order_relaxed);
}

static void calls(struct bench *b)
{
    int64_t t0 = clock_now_ns();
    for (long i = 0; i < b->count; i++)
        (void)loop_call_soon_threadsafe(b->loop, count_call, b);
    report(b, "loop_call_soon_threadsafe", t0);
}

static void coroutines(struct bench *b)
{
    int64_t t0 = clock_now_ns();
    for (long i = 0; i < b->count; i++)
        cfuture_unref(run_coroutine_threadsafe(b->loop, count_task, b, NULL));
    report(b, "run_coroutine_threadsafe", t0);
}

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static double median_us(int64_t *ns, long n)
{
    qsort(ns, (size_t)n, sizeof ns[0], by_value);
    return (double)ns[n / 2] * 1e-3;
}

static double loop_trips(struct bench *b, int64_t *ns)
{
    for (long i = 0; i < TRIPS; i++) {
        int64_t t0 = clock_now_ns();
        struct cfuture *f = run_coroutine_threadsafe(b->loop, count_task, b, NULL);
        (void)cfuture_result(f, -1, NULL, NULL);
        cfuture_unref(f);
        ns[i] = clock_now_ns() - t0;
    }
    return median_us(ns, TRIPS);
}

struct pair {
    int there, back;
};

static void *echo(void *arg)
{
    struct pair *p = arg;
    uint64_t n;
    while (read(p->there, &n, sizeof n) == sizeof n && n < 1000)
        (void)!write(p->back, &n, sizeof n);
    return NULL;
}

static double bare_trips(int64_t *ns)
{
    struct pair p = {eventfd(0, EFD_CLOEXEC), eventfd(0, EFD_CLOEXEC)};
    pthread_t t;
    uint64_t n = 1, stop_word = 1000;
    (void)pthread_create(&t, NULL, echo, &p);
    for (long i = 0; i < TRIPS; i++) {
        int64_t t0 = clock_now_ns();
        n = 1;
        (void)!write(p.there, &n, sizeof n);
        (void)!read(p.back, &n, sizeof n);
        ns[i] = clock_now_ns() - t0;
    }
    (void)!write(p.there, &stop_word, sizeof stop_word);
    (void)pthread_join(t, NULL);
    (void)close(p.there);
    (void)close(p.back);
    return median_us(ns, TRIPS);
}

int main(int argc, char **argv)
{
    struct bench b = {.count = argc > 1 ? strtol(argv[1], NULL, 10) : 2000000};
    int64_t *ns = calloc(TRIPS, sizeof *ns);
    if (!ns)
        return 1;
    begin(&b);
    posts(&b);
    jobs(&b);
    calls(&b);
    coroutines(&b);
    for (int i = 0; i < 3; i++) {
        double bare = bare_trips(ns), ours = loop_trips(&b, ns);
        (void)printf(
            "round trip: bare eventfds %.2f us, a coroutine's result %.2f us (%.2f times)\n", bare,
            ours, ours / bare);
    }
    end(&b);
    free(ns);
    return 0;
}
