/* conf_executor_process.c - scenarios of the area "executor": pools of processes. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/asyncio/conf.h"
#include "tests/asyncio/conf_process.h"
#include "worker/runtime/gather.h"

/* -- what runs in another process: numbers of 8 bytes go in and come out -- */
static int counter;

static int give(int64_t value, void **ret_result, size_t *ret_len)
{
    *ret_result = need(malloc(sizeof value));
    *ret_len = sizeof value;
    memcpy(*ret_result, &value, sizeof value);
    return 0;
}

static int square(const void *arg, size_t len, void **ret_result, size_t *ret_len, struct err *e)
{
    const int64_t *n = arg;
    (void)len, (void)e;
    return give(*n * *n, ret_result, ret_len);
}

static int bump(const void *arg, size_t len, void **ret_result, size_t *ret_len, struct err *e)
{
    (void)arg, (void)len, (void)e;
    return give(++counter, ret_result, ret_len);
}

static int bad(const void *arg, size_t len, void **ret_result, size_t *ret_len, struct err *e)
{
    (void)arg, (void)len, (void)ret_result, (void)ret_len;
    return err_set(e, -EINVAL, "in child");
}

static int cpu_bound(const void *arg, size_t len, void **ret_result, size_t *ret_len, struct err *e)
{
    int64_t sum = 0;
    (void)arg, (void)len, (void)e;
    for (int64_t i = 0; i < 100000; i++)
        sum += i * i;
    return give(sum, ret_result, ret_len);
}

static int process_here(const void *arg, size_t len, void **ret_result, size_t *ret_len,
                        struct err *e)
{
    (void)arg, (void)len, (void)e;
    return give(getpid(), ret_result, ret_len);
}

const struct process_function process_functions[] = {
    {"square", square},       {"bump", bump},          {"bad", bad},
    {"cpu_bound", cpu_bound}, {"where", process_here}, {NULL, NULL},
};

static struct future *start(struct executor *x, const char *name, int64_t n)
{
    return need(run_in_process(x, name, &n, sizeof n, NULL));
}

static int64_t number_in(const void *result)
{
    int64_t n;
    memcpy(&n, ((const struct process_bytes *)result)->data, sizeof n);
    return n;
}

/* Awaits f and drops it. */
static int64_t number_of(struct future *f)
{
    void *v;
    must(future_await(f, &v, NULL));
    int64_t n = number_in(v);
    future_unref(f);
    return n;
}

static void close_pool(struct executor *pool)
{
    executor_shutdown(pool, true, false);
    executor_unref(pool);
}

/* -- executor-process-pool -- */
static void square_six(struct executor *pool)
{
    struct future *f[6];
    int64_t n[6];
    void *v;
    for (int i = 0; i < 6; i++)
        f[i] = start(pool, "square", i + 1);
    struct future *all = need(future_gather(f, 6, 0));
    must(future_await(all, &v, NULL));
    for (int i = 0; i < 6; i++)
        n[i] = number_of(f[i]);
    future_unref(all);
    out("[%d, %d, %d, %d, %d, %d]", (int)n[0], (int)n[1], (int)n[2], (int)n[3], (int)n[4],
        (int)n[5]);
}

static int process_pool_main(void *arg, void **ret_result, struct err *e)
{
    struct executor *pool = need(executor_new_processes(2));
    struct err why;
    (void)arg, (void)ret_result, (void)e;
    square_six(pool);
    int bumped = (int)number_of(start(pool, "bump", 0));
    out("bump %d here %d", bumped, counter);
    struct future *f = start(pool, "bad", 0);
    if (future_await(f, NULL, &why) == -EINVAL)
        out("caught %s", show(&why));
    future_unref(f);
    out("still works %d", (int)number_of(start(pool, "square", 12)));
    close_pool(pool);
    return 0;
}

static void executor_process_pool(void)
{
    must(run(process_pool_main, NULL, NULL, NULL));
}

/* -- executor-three-kinds -- */
static int blocking_io(void *arg, void **ret_result, struct err *e)
{
    char bytes[100];
    (void)arg;
    FILE *f = fopen("/dev/urandom", "rb");
    if (!f)
        return err_set(e, -errno, "/dev/urandom cannot be opened");
    *ret_result = BOX(fread(bytes, 1, sizeof bytes, f));
    (void)fclose(f);
    return 0;
}

struct place {
    pthread_t thread;
    pid_t process;
};

static int where(void *arg, void **ret_result, struct err *e)
{
    (void)ret_result, (void)e;
    *(struct place *)arg = (struct place){pthread_self(), getpid()};
    return 0;
}

static void *value_in(struct executor *x, executor_fn fn, void *arg)
{
    struct future *f = need(run_in_executor(x, fn, arg));
    void *v;
    must(future_await(f, &v, NULL));
    future_unref(f);
    return v;
}

static int three_kinds_main(void *arg, void **ret_result, struct err *e)
{
    struct place p;
    (void)arg, (void)ret_result, (void)e;
    out("default thread pool %d", NUMBER(value_in(NULL, blocking_io, NULL)));
    struct executor *pool = need(executor_new(0));
    out("custom thread pool %d", NUMBER(value_in(pool, blocking_io, NULL)));
    close_pool(pool);
    pool = need(executor_new_processes(0));
    out("custom process pool %lld", (long long)number_of(start(pool, "cpu_bound", 0)));
    int64_t pid = number_of(start(pool, "where", 0));
    close_pool(pool);
    (void)value_in(NULL, where, &p);
    out("default: same thread %s same process %s",
        yes(pthread_equal(p.thread, pthread_self()) != 0), yes(p.process == getpid()));
    out("process pool: same process %s", yes(pid == getpid()));
    return 0;
}

static void executor_three_kinds(void)
{
    must(run(three_kinds_main, NULL, NULL, NULL));
}

const struct scenario process_scenarios[] = {
    {"executor-process-pool", executor_process_pool},
    {"executor-three-kinds", executor_three_kinds},
    {0},
};
