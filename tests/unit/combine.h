/* combine.h - what the tests of the combinators share: coroutines that note what they see, for the
 * test to assert on its own stack. Include once, after nothing: it brings cmocka. */
#ifndef TESTS_UNIT_COMBINE_H
#define TESTS_UNIT_COMBINE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "tests/lib/oom.h"
#include "worker/runtime/run.h"
#include "worker/runtime/task.h"

#define BOX(x) ((void *)(intptr_t)(x))
#define UNUSED __attribute__((unused))

struct notes { /* numbers in the order in which they were noted */
    int count;
    long seen[24];
};

static UNUSED void note(struct notes *n, long value)
{
    if (n->count < (int)(sizeof n->seen / sizeof n->seen[0]))
        n->seen[n->count++] = value;
}

/* Runs `body` with an empty notebook as its argument: it notes `count` numbers, these. */
static UNUSED void check_notes(coro_fn body, const long *expected, int count)
{
    struct notes n = {.count = 0};
    struct err e;
    assert_int_equal(run(body, &n, NULL, &e), 0);
    for (int i = 0; i < count && i < n.count; i++)
        if (n.seen[i] != expected[i])
            fail_msg("note %d is %ld, not %ld", i, n.seen[i], expected[i]);
    assert_int_equal(n.count, count);
}

#define EXPECT(body, ...)                          \
    check_notes(body, (const long[]){__VA_ARGS__}, \
                (int)(sizeof((const long[]){__VA_ARGS__}) / sizeof(long)))

struct lost { /* reports that reached the exception handler */
    int count;
    char message[96];
};

static UNUSED int note_lost(struct loop *l, const struct loop_report *r, void *arg, struct err *e)
{
    struct lost *x = arg;
    (void)l, (void)e;
    x->count++;
    (void)strncpy(x->message, r->message, sizeof x->message - 1);
    return 0;
}

/* -- bodies -- */
static UNUSED int give_at_once(void *arg, void **ret_result, struct err *e)
{
    (void)e;
    *ret_result = arg;
    return 0;
}

static UNUSED int give_after_ms(void *ms, void **ret_result, struct err *e)
{
    (void)e;
    *ret_result = ms;
    return task_sleep((intptr_t)ms);
}

static UNUSED int fail_at_once(void *arg, void **ret_result, struct err *e)
{
    (void)ret_result;
    return err_set(e, -EINVAL, "bad %d", (int)(intptr_t)arg);
}

static UNUSED int fail_after_ms(void *ms, void **ret_result, struct err *e)
{
    int r = task_sleep((intptr_t)ms);
    return r < 0 ? r : fail_at_once(ms, ret_result, e);
}

/* Never ends by itself; a cancellation is noted and let through. */
static UNUSED int hang(void *notes, void **ret_result, struct err *e)
{
    (void)ret_result, (void)e;
    int r = task_sleep(60000);
    if (notes && r == -ECANCELED)
        note(notes, -1);
    return r;
}

/* Survives its first cancellation and then takes its time. */
static UNUSED int survive(void *value, void **ret_result, struct err *e)
{
    (void)e;
    (void)task_sleep(60000);
    *ret_result = value;
    return task_sleep(5);
}

static UNUSED struct future *start(coro_fn fn, void *arg)
{
    struct task *t = task_create(fn, arg, NULL);
    return t ? task_future(t) : NULL;
}

static UNUSED int turns(int n)
{
    int r = 0;
    while (n-- > 0 && r == 0)
        r = task_sleep(0);
    return r;
}

static UNUSED void cancel_future(void *f)
{
    (void)future_cancel(f);
}

/* -- memory that runs out: `body` runs again and again, until none of its allocations fails -- */
struct oom_play {
    coro_fn body;
    unsigned number;
    int code;
    bool failed;
};

static UNUSED int oom_main(void *arg, void **ret_result, struct err *e)
{
    struct oom_play *p = arg;
    oom_arm(p->number);
    p->code = p->body(NULL, ret_result, e);
    p->failed = oom_disarm();
    return 0;
}

static UNUSED void check_each_allocation(coro_fn body)
{
    struct oom_play p = {.body = body, .failed = true};
    while (p.failed) {
        p.number++;
        assert_int_equal(run(oom_main, &p, NULL, NULL), 0);
        if (p.failed && p.code != 0)
            assert_int_equal(p.code, -ENOMEM);
    }
    assert_int_equal(p.code, 0);
    assert_true(p.number > 2);
}

#endif
