/* bench_threadsafe.c - handing work to a loop from another thread: how many a second in each of its
 * forms, beside a bare ev_async with a lock-free list, CPython's asyncio, uvloop and Go's channels;
 * and a round trip beside that of a bare pair of eventfds. `bench_threadsafe [submissions]`. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <ev.h>

#include "common/clock.h"
#include "tests/bench/peer.h"
#include "worker/runtime/cfuture.h"
#include "worker/runtime/task.h"

#define TRIPS 20000
#define ROUNDS 5

struct bench {
    struct loop *loop;
    pthread_t thread;
    long count;
    atomic_long done;
    double submitted, finished; /* millions a second, in the last round */
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

/* Notes how fast b->count went, once the loop has done them all. */
static void note_rates(struct bench *b, int64_t start_ns)
{
    int64_t submitted_ns = clock_now_ns();
    while (atomic_load(&b->done) < b->count)
        usleep(200);
    b->submitted = (double)b->count * 1e3 / (double)(submitted_ns - start_ns);
    b->finished = (double)b->count * 1e3 / (double)(clock_now_ns() - start_ns);
    atomic_store(&b->done, 0);
}

/* The best of a few rounds: the machine is not ours alone. */
static void best(struct bench *b, const char *what, void (*play)(struct bench *b))
{
    double submitted = 0, finished = 0;
    for (int i = 0; i < ROUNDS; i++) {
        play(b);
        submitted = b->submitted > submitted ? b->submitted : submitted;
        finished = b->finished > finished ? b->finished : finished;
    }
    (void)printf("%-28s submitted %6.2f M/s, done %6.2f M/s\n", what, submitted, finished);
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
    note_rates(b, t0);
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
    note_rates(b, t0);
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
    note_rates(b, t0);
}

static void coroutines(struct bench *b)
{
    int64_t t0 = clock_now_ns();
    for (long i = 0; i < b->count; i++)
        cfuture_unref(run_coroutine_threadsafe(b->loop, count_task, b, NULL));
    note_rates(b, t0);
}

/* What a program without the runtime would write: libev's own wake-up and a list. */
struct node {
    struct node *next;
};

struct bare {
    struct ev_loop *ev;
    ev_async wake;
    _Atomic(struct node *) list;
    struct bench *bench;
};

static void on_wake(struct ev_loop *ev, ev_async *w, int events)
{
    struct bare *x = w->data;
    (void)events;
    long n = 0;
    for (struct node *i = atomic_exchange(&x->list, NULL); i; i = i->next)
        n++;
    if (atomic_fetch_add(&x->bench->done, n) + n == x->bench->count)
        ev_break(ev, EVBREAK_ALL);
}

static void *run_bare(void *arg)
{
    struct bare *x = arg;
    ev_run(x->ev, 0);
    return NULL;
}

static void bare_list(struct bench *b)
{
    struct bare x = {.ev = ev_loop_new(EVBACKEND_EPOLL), .bench = b};
    struct node *n = calloc((size_t)b->count, sizeof *n);
    pthread_t t;
    ev_async_init(&x.wake, on_wake);
    x.wake.data = &x;
    ev_async_start(x.ev, &x.wake);
    if (!n || pthread_create(&t, NULL, run_bare, &x) != 0)
        error_fatal("no memory, or no thread");
    int64_t t0 = clock_now_ns();
    for (long i = 0; i < b->count; i++) {
        n[i].next = atomic_load(&x.list);
        while (!atomic_compare_exchange_weak(&x.list, &n[i].next, &n[i]))
            ;
        ev_async_send(x.ev, &x.wake);
    }
    note_rates(b, t0);
    (void)pthread_join(t, NULL);
    ev_loop_destroy(x.ev);
    free(n);
}

static void compare_submissions(void)
{
    for (enum peer p = 0; p < PEERS; p++) {
        double m[2];
        size_t n = peer_measure(p, "submit", m, 2);
        if (n == 2)
            (void)printf("%-28s submitted %6.3f M/s, done %6.3f M/s\n", peer_name(p), m[0], m[1]);
        else if (n == 1)
            (void)printf("%-28s through a channel, done  %6.2f M/s\n", peer_name(p), m[0]);
        else
            (void)printf("%-28s not installed\n", peer_name(p));
    }
}

static void compare_trips(double ours)
{
    for (enum peer p = 0; p < PEERS; p++) {
        double us;
        if (peer_measure(p, "trip", &us, 1))
            (void)printf("round trip: %s %.2f us (%.2f times)\n", peer_name(p), us, us / ours);
        else
            (void)printf("round trip: %s not installed\n", peer_name(p));
    }
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
    struct bench b = {.count = argc > 1 ? strtol(argv[1], NULL, 10) : 1000000};
    int64_t *ns = calloc(TRIPS, sizeof *ns);
    if (!ns)
        return 1;
    begin(&b);
    best(&b, "loop_post", posts);
    best(&b, "loop_submit (a task each)", jobs);
    best(&b, "loop_call_soon_threadsafe", calls);
    best(&b, "run_coroutine_threadsafe", coroutines);
    best(&b, "bare ev_async, a list", bare_list);
    compare_submissions();
    double ours = 0;
    for (int i = 0; i < 3; i++) {
        double bare = bare_trips(ns);
        ours = loop_trips(&b, ns);
        (void)printf(
            "round trip: bare eventfds %.2f us, a coroutine's result %.2f us (%.2f times)\n", bare,
            ours, ours / bare);
    }
    compare_trips(ours);
    end(&b);
    free(ns);
    return 0;
}
