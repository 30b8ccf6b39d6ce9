/* Pools of processes that break: children that die, and those that talk nonsense. */
#include "tests/unit/process_jobs.h"

CHILD_FUNCTION(die)
{
    (void)arg, (void)len, (void)ret_result, (void)ret_len, (void)e;
    _exit(3);
}

/* Sends what it was given on the socket, ahead of its answer. */
CHILD_FUNCTION(babble)
{
    (void)ret_result, (void)ret_len;
    return send(PROCESS_CHILD_FD, arg, len, MSG_NOSIGNAL) < 0 ? error_set(e, -errno) : 0;
}

/* The same, twice, and never ends. */
CHILD_FUNCTION(babble_on)
{
    for (int i = 0; i < 2; i++)
        (void)babble(arg, len, ret_result, ret_len, e);
    for (;;)
        (void)pause();
    return 0;
}

static const struct process_function functions[] = {
    COMMON_FUNCTIONS, {"die", die}, {"babble", babble}, {"babble-on", babble_on}, {NULL, NULL},
};

#define DIED                                                                                 \
    "A process in the process pool was terminated abruptly while the future was running or " \
    "pending."
#define UNUSABLE "A child process terminated abruptly, the process pool is not usable anymore"

/* -- a broken pool -- */
struct breakage {
    struct err first, second, queued, late;
    pid_t pids[2];
    bool gone;
};

static int killed_main(void *arg, void **ret_result, struct err *e)
{
    struct breakage *b = arg;
    struct executor *x = executor_new_processes(2);
    struct door d;
    (void)ret_result, (void)e;
    door_init(&d);
    struct future *f = call_through(x, &d);
    b->pids[0] = begun(&d);
    struct future *g = call_through(x, &d), *h = call(x, "bump");
    b->pids[1] = begun(&d);
    (void)kill(b->pids[0], SIGKILL);
    (void)end_of(f, NULL, &b->first);
    (void)end_of(g, NULL, &b->second);
    (void)end_of(h, NULL, &b->queued);
    (void)run_in_process(x, "bump", NULL, 0, &b->late);
    executor_shutdown(x, true, false);
    b->gone = is_gone(b->pids[0]) && is_gone(b->pids[1]);
    executor_unref(x);
    door_deinit(&d);
    return 0;
}

static void a_child_killed_in_a_call_breaks_the_pool(void **state)
{
    struct breakage b = {.gone = false};
    size_t before = descriptors_here();
    (void)state;
    assert_int_equal(run(killed_main, &b, NULL, NULL), 0);
    assert_int_equal(b.first.code, ERROR_BROKEN_POOL);
    assert_string_equal(b.first.text, DIED);
    assert_int_equal(b.second.code, ERROR_BROKEN_POOL);
    assert_string_equal(b.second.text, DIED);
    assert_int_equal(b.queued.code, ERROR_BROKEN_POOL);
    assert_int_equal(b.late.code, ERROR_BROKEN_POOL);
    assert_string_equal(b.late.text, UNUSABLE);
    assert_true(b.gone);
    assert_int_equal(descriptors_here(), before);
}

static int exit_main(void *n, void **ret_result, struct err *e)
{
    struct executor *x = executor_new_processes(1);
    (void)ret_result, (void)e;
    struct future *f = call(x, "die"), *g = call(x, "bump");
    note(n, end_of(f, NULL, NULL));
    note(n, end_of(g, NULL, NULL));
    close_pool(x);
    return 0;
}

static void a_child_that_exits_in_a_call_breaks_the_pool(void **state)
{
    (void)state;
    EXPECT(exit_main, ERROR_BROKEN_POOL, ERROR_BROKEN_POOL);
}

static int idle_main(void *n, void **ret_result, struct err *e)
{
    struct executor *x = executor_new_processes(1);
    (void)ret_result, (void)e;
    kill_and_wait((pid_t)number_of(call(x, "pid")));
    note(n, run_in_process(x, "bump", NULL, 0, e) == NULL); /* refused at once */
    note(n, e->code);
    close_pool(x);
    return 0;
}

static void a_child_that_ends_while_it_is_idle_breaks_the_pool(void **state)
{
    (void)state;
    EXPECT(idle_main, true, ERROR_BROKEN_POOL);
}

static int other_main(void *n, void **ret_result, struct err *e)
{
    struct executor *x = executor_new_processes(2);
    struct door d;
    (void)ret_result, (void)e;
    door_init(&d);
    struct future *f = call_through(x, &d);
    (void)begun(&d);
    pid_t idle = (pid_t)number_of(call(x, "pid"));
    kill_and_wait(idle); /* nobody opens the door: f ends because of this */
    note(n, end_of(f, NULL, NULL));
    close_pool(x);
    note(n, is_gone(idle));
    door_deinit(&d);
    return 0;
}

static void the_end_of_an_idle_child_reaches_calls_in_others(void **state)
{
    (void)state;
    EXPECT(other_main, ERROR_BROKEN_POOL, true);
}

/* What the child sends ahead of its answer to the first request of its pool. */
static int babble_main(void *arg, void **ret_result, struct err *e)
{
    const struct process_answer *said = arg;
    struct executor *x = executor_new_processes(1);
    (void)ret_result;
    struct future *f = run_in_process(x, "babble", said, sizeof *said, e);
    int r = end_of(f, NULL, e);
    close_pool(x);
    return r;
}

static void what_is_no_answer_breaks_the_pool(void **state)
{
    static const struct process_answer said[] = {
        {.magic = PROCESS_ANSWER + 1},
        {.magic = PROCESS_ANSWER, .number = 1},
        {.magic = PROCESS_ANSWER, .code = 1},
        {.magic = PROCESS_ANSWER, .code = -EIO, .len = ERR_TEXT_MAX},
        {.magic = PROCESS_ANSWER, .code = -EIO, .len = UINT64_MAX},
        {.magic = PROCESS_ANSWER, .len = PROCESS_BYTES_MAX + 1},
        {.magic = PROCESS_ANSWER, .len = UINT64_MAX},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(said); i++) {
        struct process_answer a = said[i];
        assert_int_equal(run(babble_main, &a, NULL, NULL), ERROR_BROKEN_POOL);
    }
}

/* An answer too many: the next call must not take it for its own, also where it is still being
 * sent. */
static int surplus_main(void *n, void **ret_result, struct err *e)
{
    static char many[4 << 20];
    const struct process_answer extra = {.magic = PROCESS_ANSWER};
    (void)ret_result, (void)e;
    for (size_t len = 0; len <= sizeof many; len += sizeof many) {
        struct executor *x = executor_new_processes(1);
        note(n, end_of(run_in_process(x, "babble", &extra, sizeof extra, NULL), NULL, NULL));
        note(n, end_of(run_in_process(x, "echo", many, len, NULL), NULL, NULL));
        close_pool(x);
    }
    return 0;
}

static void an_answer_too_many_breaks_the_pool(void **state)
{
    (void)state;
    EXPECT(surplus_main, 0, ERROR_BROKEN_POOL, 0, ERROR_BROKEN_POOL);
}

static int deaf_main(void *n, void **ret_result, struct err *e)
{
    static char many[4 << 20];
    const struct process_answer said = {.magic = PROCESS_ANSWER};
    struct executor *x = executor_new_processes(1);
    (void)ret_result, (void)e;
    note(n, end_of(run_in_process(x, "babble-on", &said, sizeof said, NULL), NULL, NULL));
    note(n, end_of(run_in_process(x, "echo", many, sizeof many, NULL), NULL, NULL));
    close_pool(x);
    return 0;
}

static void a_child_that_talks_and_does_not_listen_breaks_the_pool(void **state)
{
    (void)state;
    EXPECT(deaf_main, 0, ERROR_BROKEN_POOL);
}

int main(int argc, char **argv)
{
    process_pool_child(argc, argv, functions);
    const struct CMUnitTest broken[] = {
        cmocka_unit_test(a_child_killed_in_a_call_breaks_the_pool),
        cmocka_unit_test(a_child_that_exits_in_a_call_breaks_the_pool),
        cmocka_unit_test(a_child_that_ends_while_it_is_idle_breaks_the_pool),
        cmocka_unit_test(the_end_of_an_idle_child_reaches_calls_in_others),
        cmocka_unit_test(what_is_no_answer_breaks_the_pool),
        cmocka_unit_test(an_answer_too_many_breaks_the_pool),
        cmocka_unit_test(a_child_that_talks_and_does_not_listen_breaks_the_pool),
    };
    return cmocka_run_group_tests_name("process pool: broken", broken, NULL, NULL);
}
