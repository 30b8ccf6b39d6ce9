/* LDFLAGS: -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=strdup,--wrap=mmap */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <ev.h>

#include "worker/runtime/cfuture.h"
#include "worker/runtime/context.h"
#include "worker/runtime/reserve.h"
#include "worker/runtime/run.h"
#include "worker/runtime/task.h"

/* The allocation with this number fails, and with `from_then` all after it. 0: none. */
static long fail_at, calls;
static bool from_then;

static bool fails(void)
{
    if (fail_at == 0)
        return false;
    calls++;
    return calls == fail_at || (from_then && calls > fail_at);
}

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t m);
void *__real_realloc(void *p, size_t n);
char *__real_strdup(const char *s);
void *__real_mmap(void *at, size_t n, int prot, int flags, int fd, off_t off);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t m);
void *__wrap_realloc(void *p, size_t n);
char *__wrap_strdup(const char *s);
void *__wrap_mmap(void *at, size_t n, int prot, int flags, int fd, off_t off);

static void *none(void)
{
    errno = ENOMEM;
    return NULL;
}

void *__wrap_malloc(size_t n)
{
    return fails() ? none() : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t m)
{
    return fails() ? none() : __real_calloc(n, m);
}

void *__wrap_realloc(void *p, size_t n)
{
    return fails() ? none() : __real_realloc(p, n);
}

char *__wrap_strdup(const char *s)
{
    return fails() ? none() : __real_strdup(s);
}

void *__wrap_mmap(void *at, size_t n, int prot, int flags, int fd, off_t off)
{
    if (fails()) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    return __real_mmap(at, n, prot, flags, fd, off);
}

static const struct context_var var = {"var", NULL};

static int child(void *arg, void **ret_result, struct err *e)
{
    (void)ret_result;
    int r = context_set(&var, arg);
    if (r < 0)
        return r;
    r = task_sleep(1);
    return r < 0 ? r : err_set(e, -EINVAL, "as planned");
}

static void count(struct future *f, void *n)
{
    (void)f;
    ++*(int *)n;
}

static int ran; /* callbacks, in this play */

static void note(void *arg)
{
    (void)arg;
    ran++;
}

static int await_child(struct task *t, struct err *e)
{
    int n = 0, r = future_add_done_callback(task_future(t), count, &n);
    if (r < 0) {
        (void)task_cancel(t);
        (void)task_await(t, NULL, NULL);
        return r;
    }
    r = task_await(t, NULL, e);
    (void)task_sleep(0);
    return r == -EINVAL && n == 1 ? 0 : r;
}

/* One of everything that allocates; 0, or the -ENOMEM that it met. */
static int everything(void *arg, void **ret_result, struct err *e)
{
    struct loop *l = loop_running();
    (void)ret_result;
    ran = 0;
    struct future *f = loop_create_future(l);
    if (!f)
        return -ENOMEM;
    int r = future_set_error(f, -EINVAL, "kept if there is memory");
    (void)future_result(f, NULL, NULL);
    future_unref(f);
    if (r < 0)
        return r;
    if (!loop_call_soon(l, note, NULL) || !loop_call_later(l, 0, note, NULL))
        return -ENOMEM;
    r = loop_call_soon_threadsafe(l, note, NULL);
    if (r < 0)
        return r;
    struct task *t = task_create(child, arg, "a child with a name");
    if (!t)
        return -ENOMEM;
    r = await_child(t, e);
    task_unref(t);
    return r == 0 && ran != 3 ? -EIO : r; /* what was accepted has run */
}

static void told(struct cfuture *f, void *n)
{
    (void)f;
    ++*(int *)n;
}

static void stop(struct cfuture *f, void *l)
{
    (void)f;
    loop_stop(l);
}

/* A submission as from another thread, on a loop that this one runs then. */
static int submit(struct loop *l, struct err *e)
{
    int n = 0;
    struct cfuture *f = run_coroutine_threadsafe(l, everything, e, "named");
    if (!f)
        return -errno;
    int r = cfuture_add_done_callback(f, told, &n);
    if (r == 0)
        r = cfuture_add_done_callback(f, stop, l);
    if (r == 0)
        r = loop_run_forever(l, e);
    else
        (void)cfuture_cancel(f);
    if (r == 0 && n == 1)
        r = cfuture_result(f, 0, NULL, e);
    cfuture_unref(f);
    return r;
}

static int play(void)
{
    struct err e;
    int r = run(everything, &e, NULL, &e);
    if (r < 0)
        return r;
    struct loop *l = loop_new(0);
    if (!l)
        return -errno;
    r = submit(l, &e);
    loop_free(l);
    return r;
}

static void each_allocation_may_fail(void **state)
{
    (void)state;
    int r = -ENOMEM;
    long at = 0;
    while (r != 0) {
        calls = 0;
        fail_at = ++at;
        r = play();
        bool met = calls >= fail_at;
        fail_at = 0;
        if (r != 0)
            assert_int_equal(r, -ENOMEM);
        if (!met)
            break; /* fewer allocations than that: all were tried */
        r = -ENOMEM;
    }
    assert_int_equal(r, 0);
    assert_true(at > 30);
}

static void memory_may_be_gone_for_good(void **state)
{
    (void)state;
    from_then = true;
    for (long at = 1; at < 80; at++) {
        calls = 0;
        fail_at = at;
        int r = play();
        fail_at = 0;
        assert_true(r == 0 || r == -ENOMEM);
    }
    from_then = false;
}

static void on_event(struct ev_loop *ev, ev_io *w, int events)
{
    (void)ev, (void)w, (void)events;
}

static void libev_draws_on_the_reserve(void **state)
{
    enum { WATCHERS = 200 };
    static ev_io w[WATCHERS];
    int fds[WATCHERS];
    (void)state;
    struct loop *l = loop_new(0);
    assert_non_null(l);
    for (int i = 0; i < WATCHERS; i++)
        fds[i] = dup(0);
    size_t before = reserve_used();
    calls = 0;
    fail_at = 1;
    from_then = true;
    for (int i = 0; i < WATCHERS; i++) {
        ev_io_init(&w[i], on_event, fds[i], EV_READ);
        ev_io_start(loop_ev(l), &w[i]);
    }
    fail_at = 0;
    from_then = false;
    assert_true(reserve_used() > before);
    for (int i = 0; i < WATCHERS; i++) {
        ev_io_stop(loop_ev(l), &w[i]);
        (void)close(fds[i]);
    }
    loop_free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_allocation_may_fail),
        cmocka_unit_test(memory_may_be_gone_for_good),
        cmocka_unit_test(libev_draws_on_the_reserve),
    };
    return cmocka_run_group_tests_name("runtime memory", tests, NULL, NULL);
}
