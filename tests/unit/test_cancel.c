/* LDFLAGS: -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=strdup,--wrap=asprintf */
/* The message of a cancellation: from who asks to who awaits, as CPython 3.11 hands it on. */
#include "tests/unit/combine.h"

#include <stdio.h>

#include "worker/runtime/gather.h"
#include "worker/runtime/group.h"
#include "worker/runtime/lock.h"
#include "worker/runtime/shield.h"
#include "worker/runtime/wait.h"

struct heard { /* what awaits ended with: "code message", one after the other */
    char text[12][32];
    int count;
};

/* Awaits f, drops it, and keeps what came of it. */
static void hear(struct heard *h, struct future *f)
{
    struct err e = {.text = "nothing"};
    int r = future_await(f, NULL, &e);
    if (h->count < 12)
        (void)snprintf(h->text[h->count++], sizeof h->text[0], "%s %.20s",
                       r == -ECANCELED ? "cancelled" : "not", e.text);
    future_unref(f);
}

static void check_heard(coro_fn body, const char *const *expected, int count)
{
    struct heard h = {.count = 0};
    assert_int_equal(run(body, &h, NULL, NULL), 0);
    assert_int_equal(h.count, count);
    for (int i = 0; i < count; i++)
        assert_string_equal(h.text[i], expected[i]);
}

#define HEARD(body, ...)                                  \
    check_heard(body, (const char *const[]){__VA_ARGS__}, \
                (int)(sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *)))

static int await_it(void *f, void **ret_result, struct err *e)
{
    return future_await(f, ret_result, e);
}

static int cancel_oneself(void *then_sleep, void **ret_result, struct err *e)
{
    (void)ret_result, (void)e;
    (void)task_cancel_because(task_current(), "self");
    return then_sleep ? task_sleep(60000) : 0;
}

static int tasks_main(void *h, void **ret_result, struct err *e)
{
    (void)ret_result, (void)e;
    struct future *f = start(hang, NULL);
    (void)future_cancel_because(f, "before its turn");
    hear(h, f);
    f = start(hang, NULL);
    (void)turns(1);
    (void)future_cancel_because(f, "asleep");
    (void)future_cancel_because(f, "too late");
    hear(h, f);
    struct future *plain = loop_create_future(loop_running());
    f = start(await_it, plain);
    (void)turns(1);
    (void)future_cancel_because(f, "waits");
    (void)future_cancel_because(f, "too late");
    hear(h, f);
    hear(h, plain);
    struct future *inner = start(hang, NULL);
    f = start(await_it, inner);
    (void)turns(2);
    (void)future_cancel_because(f, "chain");
    hear(h, f);
    future_unref(inner);
    hear(h, start(cancel_oneself, NULL));
    hear(h, start(cancel_oneself, BOX(1)));
    f = start(hang, NULL);
    (void)turns(1);
    (void)future_cancel(f);
    hear(h, f);
    return 0;
}

static void a_message_comes_out_of_the_await(void **state)
{
    (void)state;
    HEARD(tasks_main, "cancelled before its turn", "cancelled asleep", "cancelled waits",
          "cancelled waits", "cancelled chain", "cancelled self", "cancelled self", "cancelled ");
}

static int limited(void *f, void **ret_result, struct err *e)
{
    return wait_for(f, 60000, ret_result, e);
}

static int grouped(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)ret_result;
    struct group *g = group_new(e);
    int r = group_create_task(g, hang, NULL, NULL, NULL, e);
    r = group_exit(g, r, e);
    group_free(g);
    return r;
}

static int take_lock(void *l, void **ret_result, struct err *e)
{
    (void)ret_result;
    return lock_acquire(l, e);
}

static void cancel_begun(struct heard *h, struct future *f, const char *why)
{
    (void)turns(2);
    (void)future_cancel_because(f, why);
    hear(h, f);
}

static int blocks_main(void *h, void **ret_result, struct err *e)
{
    struct lock lock;
    (void)ret_result;
    const struct gather_call two[] = {{hang, NULL}, {hang, NULL}};
    cancel_begun(h, gather_calls(two, 2, 0), "gathered");
    struct future *job = start(hang, NULL);
    cancel_begun(h, start(limited, job), "limited");
    future_unref(job);
    cancel_begun(h, start(grouped, NULL), "grouped");
    lock_init(&lock);
    (void)lock_acquire(&lock, e);
    cancel_begun(h, start(take_lock, &lock), "in a row");
    struct future *inner = start(hang, NULL), *outer = shield(inner);
    (void)turns(1);
    (void)future_cancel_because(inner, "behind a shield");
    hear(h, outer);
    future_unref(inner);
    return 0;
}

static void a_message_goes_through_what_waits_for_many(void **state)
{
    (void)state;
    HEARD(blocks_main, "cancelled gathered", "cancelled limited", "cancelled grouped",
          "cancelled in a row", "cancelled ");
}

static int without_memory_main(void *h, void **ret_result, struct err *e)
{
    (void)ret_result, (void)e;
    struct future *f = start(hang, NULL);
    (void)turns(1);
    oom_arm_all(1, true);
    (void)future_cancel_because(f, "unheard");
    (void)turns(1);
    (void)oom_disarm();
    hear(h, f);
    return 0;
}

static void without_memory_the_message_is_lost_alone(void **state)
{
    (void)state;
    HEARD(without_memory_main, "cancelled ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_comes_out_of_the_await),
        cmocka_unit_test(a_message_goes_through_what_waits_for_many),
        cmocka_unit_test(without_memory_the_message_is_lost_alone),
    };
    return cmocka_run_group_tests_name("cancellation messages", tests, NULL, NULL);
}
