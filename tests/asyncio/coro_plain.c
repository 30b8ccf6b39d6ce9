/* coro_plain.c - the switch and the stacks without a loop and without cmocka, so that it can be
 * linked statically for another machine and run by qemu-user. Prints TAP; exit status 1 where
 * something failed. */
#include <errno.h>
#include <fenv.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/callout.h"
#include "worker/runtime/coro.h"
#include "worker/runtime/coro_ctx.h"
#include "worker/runtime/error.h"

#define MANY 200

static int tests, failures;

static void ok(bool passed, const char *what)
{
    failures += !passed;
    (void)printf("%s %d - %s\n", passed ? "ok" : "not ok", ++tests, what);
}

/* Keeps ten integers and ten doubles alive over each switch: more than there are registers to keep.
 */
static int sum_slowly(void *arg, void **ret_result, struct err *e)
{
    volatile long seed = (long)(intptr_t)arg;
    long a = seed, b = a * 3, c = a * 5, d = a * 7, f = a * 11, g = a * 13;
    double p = (double)a, q = p * 1.5, r = p * 2.5, s = p * 3.5, t = p * 4.5, u = p * 5.5;
    for (int i = 0; i < 20; i++) {
        int code = coro_yield(e);
        if (code < 0)
            return code;
        a += i, b ^= a, c += b, d -= c, f += d, g ^= f;
        p += i, q += p, r += q, s += r, t += s, u += t;
    }
    *ret_result = (void *)(intptr_t)(a + b + c + d + f + g + (long)(p + q + r + s + t + u));
    return 0;
}

static void registers_survive(void)
{
    struct coro *c[MANY];
    void *result[MANY], *alone = NULL;
    bool same = true;
    int left = MANY;
    for (long i = 0; i < MANY; i++)
        c[i] = coro_new(sum_slowly, (void *)(intptr_t)(i % 7));
    while (left > 0)
        for (int i = 0; i < MANY; i++)
            if (c[i] && coro_resume(c[i], &result[i], NULL) == 0) {
                c[i] = coro_free(c[i]);
                left--;
            }
    struct coro *one = coro_new(sum_slowly, (void *)(intptr_t)3);
    while (coro_resume(one, &alone, NULL) == 1)
        continue;
    coro_free(one);
    for (int i = 0; i < MANY; i++)
        same = same && result[i] == result[i % 7] && (i % 7 != 3 || result[i] == alone);
    ok(same, "registers survive switches among 200 coroutines");
}

static double third(void)
{
    volatile double one = 1, three = 3;
    return one / three;
}

static int round_up(void *arg, void **ret_result, struct err *e)
{
    double *seen = arg;
    (void)ret_result;
    (void)fesetround(FE_UPWARD);
    seen[0] = third();
    (void)coro_yield(e);
    seen[1] = third();
    return fegetround() == FE_UPWARD ? 0 : -EINVAL;
}

static void rounding_is_kept(void)
{
    double inside[2] = {0, 0}, before = third();
    struct coro *c = coro_new(round_up, inside);
    (void)coro_resume(c, NULL, NULL);
    double between = third();
    int mode = fegetround(), r = coro_resume(c, NULL, NULL);
    coro_free(c);
    ok(mode == FE_TONEAREST && between == before && third() == before,
       "a coroutine's rounding mode does not leak");
    ok(r == 0 && inside[0] > before && inside[1] == inside[0], "and comes back with it");
}

struct where { /* frames: an address of a local may be a sanitizer's */
    uintptr_t inside, below;
};

static void note_address(void *arg)
{
    ((struct where *)arg)->below = (uintptr_t)__builtin_frame_address(0);
}

static int call_out(void *arg, void **ret_result, struct err *e)
{
    (void)ret_result;
    ((struct where *)arg)->inside = (uintptr_t)__builtin_frame_address(0);
    callout(note_address, arg);
    return coro_yield(e);
}

static bool near_here(uintptr_t frame)
{
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    return frame > here - 65536 && frame < here + 65536;
}

static void callout_runs_below(void)
{
    struct where w = {0, 0};
    struct coro *c = coro_new(call_out, &w);
    int r = coro_resume(c, NULL, NULL);
    coro_free(c); /* suspended: dropped where it stands */
    ok(r == 1 && near_here(w.below) && !near_here(w.inside),
       "a call-out runs on the thread's own stack");
}

static int give_back(void *arg, void **ret_result, struct err *e)
{
    (void)e;
    *ret_result = arg;
    return 0;
}

static int outer(void *arg, void **ret_result, struct err *e)
{
    struct coro *c = arg;
    struct where w;
    while (coro_resume(c, ret_result, NULL) == 1)
        (void)coro_yield(e);
    (void)call_out(&w, ret_result, e);
    return near_here(w.below) ? -EINVAL : 0;
}

static void coroutines_nest(void)
{
    void *result = NULL, *alone = NULL;
    int turns = 0, r;
    struct coro *in = coro_new(sum_slowly, (void *)(intptr_t)5), *out = coro_new(outer, in);
    while ((r = coro_resume(out, &result, NULL)) == 1)
        turns++;
    coro_free(in);
    coro_free(out);
    struct coro *one = coro_new(sum_slowly, (void *)(intptr_t)5);
    while (coro_resume(one, &alone, NULL) == 1)
        continue;
    coro_free(one);
    ok(r == 0 && turns == 21 && result == alone, "a coroutine resumes another one");
}

static void objects_are_used_once(void)
{
    void *v = NULL;
    struct err e;
    int x;
    struct coro *c = coro_new(give_back, &x);
    ok(coro_await(c, &v, &e) == 0 && v == &x, "an object is awaited once");
    ok(coro_await(c, &v, &e) == ERROR_REUSED && coro_resume(c, &v, &e) == ERROR_REUSED,
       "a second await is refused");
    coro_free(c);
    ok(coro_yield(&e) == ERROR_RUNTIME, "a yield outside of a coroutine is refused");
}

static int deep(volatile char *above, int n)
{
    volatile char here[1024];
    here[0] = above[0];
    here[1023] = (char)n;
    return n == 0 ? here[0] : deep(here, n - 1) + here[1023];
}

static int overflow(void *arg, void **ret_result, struct err *e)
{
    char start = 1;
    (void)arg, (void)ret_result, (void)e;
    return deep(&start, 1 << 20);
}

/* Runs an overflow in a child; true where it died of SIGSEGV and named itself. */
static void overflow_is_named(int guard, const char *what)
{
    int fds[2], status = 0;
    char text[256] = "";
    (void)fflush(stdout);
    (void)!pipe(fds);
    pid_t pid = fork();
    if (pid == 0) {
        (void)dup2(fds[1], 2);
        (void)close(fds[1]);
        stack_force_guard(guard);
        struct coro *c = coro_new(overflow, NULL);
        (void)coro_resume(c, NULL, NULL);
        _exit(0);
    }
    (void)close(fds[1]);
    ssize_t n = read(fds[0], text, sizeof text - 1);
    text[n > 0 ? n : 0] = '\0';
    (void)close(fds[0]);
    (void)waitpid(pid, &status, 0);
    ok(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV &&
           strstr(text, "fatal: task 'coroutine' overflowed its stack of ") == text,
       what);
}

int main(void)
{
    (void)printf("# %s\n", stack_guard_name());
    registers_survive();
    rounding_is_kept();
    callout_runs_below();
    coroutines_nest();
    objects_are_used_once();
    overflow_is_named(-1, "an overflow names the coroutine");
    overflow_is_named(STACK_GUARD_MPROTECT, "and with guard pages by mprotect");
    (void)printf("1..%d\n", tests);
    return failures > 0;
}
