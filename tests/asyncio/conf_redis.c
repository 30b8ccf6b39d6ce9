/* conf_redis.c - scenarios of the area "redis": a list in a Redis server as the queue. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "tests/asyncio/conf.h"
#include "worker/runtime/semaphore.h"

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

/* -- a tiny blocking client -- */

static FILE *redis_open(void)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must(fd);
    (void)strncpy(addr.sun_path, need(getenv("CONF_REDIS_SOCK")), sizeof addr.sun_path - 1);
    must(connect(fd, (struct sockaddr *)&addr, sizeof addr));
    return need(fdopen(fd, "r"));
}

static void redis_send(FILE *r, const char *const *words)
{
    int n = 0;
    while (words[n])
        n++;
    (void)dprintf(fileno(r), "*%d\r\n", n);
    for (int i = 0; i < n; i++)
        (void)dprintf(fileno(r), "$%zu\r\n%s\r\n", strlen(words[i]), words[i]);
}

struct answer {
    bool none;
    long number; /* of an integer */
    char text[64];
};

static struct answer redis_read(FILE *r)
{
    struct answer a = {.none = false};
    char line[64], end[3];
    (void)need(fgets(line, sizeof line, r));
    a.number = strtol(line + 1, NULL, 10);
    if (line[0] == '-')
        error_fatal("redis: %s", line);
    if (line[0] != '$')
        return a;
    a.none = a.number < 0;
    if (a.none)
        return a;
    size_t len = (size_t)a.number;
    if (len >= sizeof a.text || fread(a.text, 1, len, r) != len || fread(end, 1, 2, r) != 2)
        error_fatal("redis: an answer of %zu bytes", len);
    return a;
}

static struct answer redis_words(FILE *r, const char *const *words)
{
    redis_send(r, words);
    return redis_read(r);
}

#define REDIS(r, ...) redis_words(r, (const char *const[]){__VA_ARGS__, NULL})

/* -- redis-order -- */

static void redis_order(void)
{
    static const char *const single[] = {"a", "b", "c"};
    struct answer a;
    FILE *r = redis_open();
    (void)REDIS(r, "DEL", "queue");
    for (size_t i = 0; i < COUNT(single); i++)
        out("length %ld", REDIS(r, "LPUSH", "queue", single[i]).number);
    out("length %ld", REDIS(r, "LPUSH", "queue", "d", "e").number);
    do {
        a = REDIS(r, "RPOP", "queue");
        out("popped %s", a.none ? "none" : a.text);
    } while (!a.none);
    (void)REDIS(r, "LPUSH", "queue", "等待 1 秒", "");
    a = REDIS(r, "RPOP", "queue");
    out("popped %s", a.text);
    a = REDIS(r, "RPOP", "queue");
    out("popped length %zu", a.none ? sizeof a.text : strlen(a.text));
    (void)fclose(r);
}

/* -- a loop in a second thread -- */

struct worker {
    struct loop *loop;
    pthread_t thread;
};

static void *run_loop(void *l)
{
    must(loop_run_forever(l, NULL));
    return NULL;
}

static void worker_start(struct worker *w)
{
    w->loop = need(loop_new(0));
    must(-pthread_create(&w->thread, NULL, run_loop, w->loop));
}

static void stop(void *l)
{
    loop_stop(l);
}

static void worker_end(struct worker *w)
{
    must(loop_call_soon_threadsafe(w->loop, stop, w->loop));
    must(-pthread_join(w->thread, NULL));
    loop_free(w->loop);
}

static int result_of(struct cfuture *f)
{
    void *v;
    must(cfuture_result(f, -1, &v, NULL));
    cfuture_unref(f);
    return NUMBER(v);
}

/* -- redis-master-worker -- */

static int work(void *arg, void **ret_result, struct err *e)
{
    (void)ret_result, (void)e;
    out("Waiting %d", NUMBER(arg));
    int r = nap(2 * NUMBER(arg));
    if (r == 0)
        out("Done %d", NUMBER(arg));
    return r;
}

static void *produce(void *arg)
{
    static const struct {
        double wait;
        const char *item;
    } items[] = {{0.5, "2"}, {6, "5"}, {2, "1"}, {4, "1"}};
    FILE *r = redis_open();
    for (size_t i = 0; i < COUNT(items); i++) {
        block(items[i].wait);
        (void)REDIS(r, "LPUSH", "queue", items[i].item);
    }
    (void)fclose(r);
    return arg;
}

static void redis_master_worker(void)
{
    struct worker w;
    struct cfuture *f[4];
    size_t count = 0;
    pthread_t producer;
    worker_start(&w);
    FILE *master = redis_open();
    (void)REDIS(master, "DEL", "queue");
    must(-pthread_create(&producer, NULL, produce, NULL));
    while (count < COUNT(f)) {
        struct answer a = REDIS(master, "RPOP", "queue");
        if (a.none)
            block(1);
        else
            f[count++] =
                need(run_coroutine_threadsafe(w.loop, work, BOX(strtol(a.text, NULL, 10)), NULL));
    }
    for (size_t i = 0; i < COUNT(f); i++)
        (void)result_of(f[i]);
    worker_end(&w);
    must(-pthread_join(producer, NULL));
    out("jobs: %zu left: %ld", count, REDIS(master, "LLEN", "queue").number);
    (void)fclose(master);
}

/* -- redis-bounded -- */

struct job {
    struct semaphore *limit;
    int number, length;
};

static int job(void *arg, void **ret_result, struct err *e)
{
    struct job *j = arg;
    int r = semaphore_acquire(j->limit, e);
    if (r < 0)
        return r;
    tout("start %d", j->number);
    r = nap(j->length);
    tout("end %d", j->number);
    must(semaphore_release(j->limit, e));
    *ret_result = BOX(j->number);
    return r;
}

static void redis_bounded(void)
{
    static const char *const items[] = {"1:4", "2:5", "3:4", "4:5", "5:1"};
    struct semaphore limit;
    struct worker w;
    struct job jobs[COUNT(items)];
    struct cfuture *f[COUNT(items)];
    int n[COUNT(items)];
    FILE *r = redis_open();
    (void)REDIS(r, "DEL", "queue");
    for (size_t i = 0; i < COUNT(items); i++)
        (void)REDIS(r, "LPUSH", "queue", items[i]);
    semaphore_init(&limit, 2);
    worker_start(&w);
    start_clock();
    for (size_t i = 0; i < COUNT(items); i++) {
        char *colon;
        struct answer a = REDIS(r, "RPOP", "queue");
        int number = (int)strtol(a.text, &colon, 10);
        jobs[i] = (struct job){&limit, number, (int)strtol(colon + 1, NULL, 10)};
        f[i] = need(run_coroutine_threadsafe(w.loop, job, &jobs[i], NULL));
    }
    for (size_t i = 0; i < COUNT(items); i++)
        n[i] = result_of(f[i]);
    tout("results [%d, %d, %d, %d, %d]", n[0], n[1], n[2], n[3], n[4]);
    worker_end(&w);
    if (!REDIS(r, "RPOP", "queue").none)
        error_fatal("redis: an item was left");
    (void)fclose(r);
}

const struct scenario redis_scenarios[] = {
    {"redis-bounded", redis_bounded},
    {"redis-master-worker", redis_master_worker},
    {"redis-order", redis_order},
    {NULL, NULL},
};
