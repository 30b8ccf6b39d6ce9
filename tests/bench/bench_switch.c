/* bench_switch.c - what a switch costs: bare, with floating point touched, through the loop beside
 * CPython's asyncio, uvloop and Go, and what a sleeping task takes with each kind of guard.
 * `bench_switch [tasks]`, 1,000,000 tasks. */
#include <errno.h>
#include <fenv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "tests/bench/peer.h"
#include "worker/runtime/coro_ctx.h"
#include "worker/runtime/event.h"
#include "worker/runtime/run.h"
#include "worker/runtime/task.h"

#define SWITCHES 20000000
#define TURNS 3000000
#define ROUNDS 5
#define SWITCH_ROUNDS 100
#define MADE_IN_1_MS 50 /* tasks: their time comes when all are asleep, on a slow machine too */

static volatile double sink = 1.0;

static void leave_again(struct coro_ctx *c)
{
    (void)c;
    for (;;)
        coro_ctx_leave(c);
}

static void leave_with_floats(struct coro_ctx *c)
{
    (void)c;
    for (;;) {
        sink = sink * 1.0000001 + 1e-9;
        coro_ctx_leave(c);
    }
}

static void leave_with_rounding(struct coro_ctx *c)
{
    (void)c;
    (void)fesetround(FE_UPWARD);
    for (;;)
        coro_ctx_leave(c);
}

/* The best of many short rounds: the machine is not ours alone. */
static void bare(const char *what, void (*entry)(struct coro_ctx *c))
{
    struct coro_ctx c = {.name = "bench"};
    struct stack_pool *pool = stack_pool_new(STACK_BYTES, 1);
    struct stack *s = pool ? stack_get(pool) : NULL;
    double best = 1e9;
    if (!s)
        error_fatal("no memory for a stack");
    coro_ctx_init(&c, s, entry);
    for (int round = 0; round < SWITCH_ROUNDS; round++) {
        int64_t t0 = clock_now_ns();
        for (int i = 0; i < SWITCHES / SWITCH_ROUNDS; i++)
            coro_ctx_enter(&c);
        double ns = (double)(clock_now_ns() - t0) / (SWITCHES / SWITCH_ROUNDS) / 2;
        best = ns < best ? ns : best;
    }
    (void)printf("switch, %-26s %7.1f ns\n", what, best);
    coro_ctx_deinit(&c);
    stack_pool_free(pool);
}

static int spin(void *arg, void **ret_result, struct err *e)
{
    int r = 0;
    (void)arg, (void)ret_result, (void)e;
    for (int i = 0; i < TURNS && r == 0; i++)
        r = task_sleep(0);
    return r;
}

static int two_spinners(void *arg, void **ret_result, struct err *e)
{
    double *best = arg;
    (void)ret_result;
    for (int round = 0; round < ROUNDS; round++) {
        int64_t t0 = clock_now_ns();
        struct task *a = task_create(spin, NULL, NULL), *b = task_create(spin, NULL, NULL);
        if (!a || !b)
            return error_set(e, -ENOMEM);
        (void)task_await(a, NULL, e);
        (void)task_await(b, NULL, e);
        task_unref(a);
        task_unref(b);
        double ns = (double)(clock_now_ns() - t0) / TURNS / 2;
        *best = ns < *best ? ns : *best;
    }
    return 0;
}

static void compare(double ours)
{
    for (enum peer p = 0; p < PEERS; p++) {
        double ns;
        if (peer_measure(p, "switch", &ns, 1))
            (void)printf("a task's turn, %-20s %7.1f ns (%.1f times)\n", peer_name(p), ns,
                         ns / ours);
        else
            (void)printf("a task's turn, %-20s not installed\n", peer_name(p));
    }
}

static long resident_bytes(void)
{
    char line[128];
    long kb = 0;
    FILE *f = fopen("/proc/self/status", "re");
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, "VmRSS:", 6) == 0)
            kb = strtol(line + 6, NULL, 10);
    if (f)
        (void)fclose(f);
    return kb * 1024;
}

struct crowd { /* tasks that are asleep at once, and all wake */
    long tasks, asleep, woken;
    int64_t until_ms;
    struct event all_woke;
};

static int sleeper(void *arg, void **ret_result, struct err *e)
{
    struct crowd *c = arg;
    (void)ret_result, (void)e;
    c->asleep++;
    int r = task_sleep_until(c->until_ms);
    c->asleep--;
    if (r == 0 && ++c->woken == c->tasks)
        event_set(&c->all_woke);
    return r;
}

static int sleeping_tasks(void *arg, void **ret_result, struct err *e)
{
    struct crowd *c = arg;
    long n = c->tasks, before = resident_bytes();
    (void)ret_result;
    event_init(&c->all_woke);
    c->until_ms = clock_now_ms() + 2000 + n / MADE_IN_1_MS;
    int64_t t0 = clock_now_ns();
    for (long i = 0; i < n; i++)
        if (task_spawn(sleeper, c, NULL) < 0)
            return error_set(e, -ENOMEM);
    int r = task_sleep(0);
    int64_t t1 = clock_now_ns();
    (void)printf("%ld tasks asleep at once: %.0f bytes each, started in %.0f ns each\n", c->asleep,
                 (double)(resident_bytes() - before) / (double)n, (double)(t1 - t0) / (double)n);
    if (r == 0)
        r = event_wait(&c->all_woke, e);
    (void)printf("  %ld of %ld woke, within %.2f s of their time\n", c->woken, n,
                 (double)(clock_now_ms() - c->until_ms) * 1e-3);
    return r;
}

/* In a child: what one kind of guard leaves behind does not help the next one. */
static void sleep_with(int guard, long tasks)
{
    struct err e;
    (void)fflush(stdout);
    pid_t pid = fork();
    if (pid > 0) {
        (void)waitpid(pid, NULL, 0);
        return;
    }
    struct crowd c = {.tasks = tasks};
    stack_force_guard(guard);
    int64_t t0 = clock_now_ns();
    if (run(sleeping_tasks, &c, NULL, &e) < 0)
        error_fatal("%s", e.text);
    (void)printf("  all in all %.2f s; stacks had %s\n", (double)(clock_now_ns() - t0) * 1e-9,
                 stack_guard_name());
    (void)fflush(stdout);
    _exit(0);
}

int main(int argc, char **argv)
{
    long tasks = argc > 1 ? strtol(argv[1], NULL, 10) : 1000000;
    double turn = 1e9;
    struct err e;
    bare("integers only", leave_again);
    bare("floating point on one side", leave_with_floats);
    bare("other rounding on one side", leave_with_rounding);
    if (run(two_spinners, &turn, NULL, &e) < 0)
        error_fatal("%s", e.text);
    (void)printf("a task's turn through the loop       %7.1f ns\n", turn);
    compare(turn);
    sleep_with(-1, tasks);
    if (strstr(stack_guard_name(), "madvise")) /* and what older kernels do */
        sleep_with(STACK_GUARD_MPROTECT, tasks);
    return 0;
}
