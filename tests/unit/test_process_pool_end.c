/* LDFLAGS: -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=strdup,--wrap=asprintf */
/* Pools of processes: broken, shut down, left by their loop or their process, without memory. */
#include "tests/unit/process_jobs.h"

#include <spawn.h>

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

CHILD_FUNCTION(make_poor) /* the child's next allocation fails */
{
    (void)arg, (void)len, (void)ret_result, (void)ret_len, (void)e;
    oom_arm(1);
    return 0;
}

static const struct process_function functions[] = {
    COMMON_FUNCTIONS, {"die", die}, {"babble", babble}, {"make-poor", make_poor}, {NULL, NULL},
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
    note(n, end_of(call(x, "bump"), NULL, NULL));
    close_pool(x);
    return 0;
}

static void a_child_that_ends_while_it_is_idle_breaks_the_pool(void **state)
{
    (void)state;
    EXPECT(idle_main, ERROR_BROKEN_POOL);
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

/* -- shutdown -- */
static int wait_main(void *n, void **ret_result, struct err *e)
{
    struct executor *x = executor_new_processes(2);
    (void)ret_result;
    int64_t pid = number_of(call(x, "pid"));
    struct future *f = call(x, "bump");
    executor_shutdown(x, true, false); /* blocks the loop */
    note(n, is_gone(pid));
    note(n, end_of(f, NULL, NULL));
    note(n, run_in_process(x, "bump", NULL, 0, e) == NULL);
    note(n, e->code);
    executor_shutdown(x, true, false);
    executor_unref(x);
    return 0;
}

static void a_shutdown_waits_for_calls_and_children(void **state)
{
    (void)state;
    EXPECT(wait_main, true, 0, true, ERROR_RUNTIME);
}

static int no_wait_main(void *n, void **ret_result, struct err *e)
{
    struct executor *x = executor_new_processes(1);
    struct door d;
    (void)ret_result, (void)e;
    door_init(&d);
    struct future *f = call_through(x, &d), *g = call(x, "bump");
    pid_t pid = begun(&d);
    executor_shutdown(x, false, false);
    note(n, is_gone(pid));
    open_door(&d);
    note(n, number_of(f) == pid);
    note(n, number_of(g));
    executor_shutdown(x, true, false);
    note(n, is_gone(pid));
    executor_unref(x);
    door_deinit(&d);
    return 0;
}

static void a_shutdown_need_not_wait_and_loses_no_call(void **state)
{
    (void)state;
    EXPECT(no_wait_main, false, true, 1, true);
}

static int cancel_main(void *n, void **ret_result, struct err *e)
{
    struct executor *x = executor_new_processes(1);
    struct door d;
    (void)ret_result, (void)e;
    door_init(&d);
    struct future *f = call_through(x, &d), *g = call(x, "bump"), *h = call(x, "bump");
    pid_t pid = begun(&d);
    (void)future_cancel(h); /* by its own side before */
    executor_shutdown(x, false, true);
    note(n, end_of(g, NULL, NULL));
    note(n, end_of(h, NULL, NULL));
    open_door(&d);
    note(n, number_of(f) == pid);
    close_pool(x);
    door_deinit(&d);
    return turns(2);
}

static void a_shutdown_may_cancel_what_is_queued(void **state)
{
    (void)state;
    EXPECT(cancel_main, -ECANCELED, -ECANCELED, true);
}

static int unref_main(void *n, void **ret_result, struct err *e)
{
    struct executor *x = executor_new_processes(1);
    (void)ret_result, (void)e;
    struct future *f = call(x, "bump"), *g = call(x, "bump");
    executor_unref(x);
    note(n, number_of(f));
    note(n, number_of(g));
    return 0;
}

static void what_was_taken_is_run_after_the_last_reference_has_gone(void **state)
{
    (void)state;
    EXPECT(unref_main, 1, 2);
}

/* -- the end of the loop, and of the process -- */
struct leaver {
    struct executor *x;
    struct door door;
    pid_t pid;
};

static int leave_main(void *arg, void **ret_result, struct err *e)
{
    struct leaver *l = arg;
    (void)ret_result, (void)e;
    future_unref(call_through(l->x, &l->door));
    l->pid = begun(&l->door);
    future_unref(call(l->x, "bump"));
    return 0;
}

static void a_loop_may_be_closed_while_calls_are_under_way(void **state)
{
    struct leaver l = {.x = executor_new_processes(1)};
    (void)state;
    door_init(&l.door);
    assert_int_equal(run(leave_main, &l, NULL, NULL), 0);
    open_door(&l.door);
    close_pool(l.x);
    assert_true(is_gone(l.pid));
    door_deinit(&l.door);
}

/* As a process of its own: leaves a call under way, and waits to be killed. */
static int lonely_main(void *arg, void **ret_result, struct err *e)
{
    (void)ret_result, (void)e;
    future_unref(run_in_process(executor_new_processes(1), "through", arg, sizeof(struct way), e));
    return task_sleep(600000);
}

static int be_lonely(char **argv)
{
    struct way w;
    (void)snprintf(w.told, sizeof w.told, "%s", argv[2]);
    (void)snprintf(w.open, sizeof w.open, "%s", argv[3]);
    return run(lonely_main, &w, NULL, NULL);
}

static void a_child_does_not_outlive_its_process(void **state)
{
    struct door d;
    pid_t parent;
    (void)state;
    door_init(&d);
    char word[] = "lonely", *const argv[] = {word, word, d.way.told, d.way.open, NULL};
    assert_int_equal(posix_spawn(&parent, "/proc/self/exe", NULL, NULL, argv, environ), 0);
    struct pollfd end = {.fd = pidfd_open(begun(&d), 0), .events = POLLIN};
    assert_true(end.fd >= 0);
    assert_int_equal(poll(&end, 1, 0), 0);
    assert_int_equal(kill(parent, SIGKILL), 0);
    assert_int_equal(poll(&end, 1, LIMIT_MS), 1); /* nobody has opened the door */
    assert_int_equal(waitpid(parent, NULL, 0), parent);
    (void)close(end.fd);
    door_deinit(&d);
}

/* -- memory -- */
static int oom_body(void *arg, void **ret_result, struct err *e)
{
    struct executor *x = executor_new_processes(1);
    (void)arg, (void)ret_result;
    if (!x)
        return -errno;
    struct future *f = run_in_process(x, "echo", "12345678", 8, e);
    int64_t n;
    int r = f ? end_of(f, &n, e) : -errno;
    close_pool(x);
    return r;
}

static int poor_main(void *n, void **ret_result, struct err *e)
{
    struct executor *x = executor_new_processes(1);
    struct err why;
    (void)ret_result, (void)e;
    note(n, end_of(call(x, "make-poor"), NULL, NULL));
    note(n, end_of(run_in_process(x, "echo", functions, sizeof functions, NULL), NULL, &why));
    note(n, strcmp(why.text, "no memory"));
    note(n, number_of(call(x, "bump")));
    close_pool(x);
    return 0;
}

static void no_memory_is_an_error_here_and_in_a_child(void **state)
{
    size_t before = descriptors_here();
    (void)state;
    check_each_allocation(oom_body);
    EXPECT(poor_main, 0, -ENOMEM, 0, 1);
    assert_int_equal(descriptors_here(), before);
}

int main(int argc, char **argv)
{
    process_pool_child(argc, argv, functions);
    if (argc == 4)
        return be_lonely(argv);
    const struct CMUnitTest broken[] = {
        cmocka_unit_test(a_child_killed_in_a_call_breaks_the_pool),
        cmocka_unit_test(a_child_that_exits_in_a_call_breaks_the_pool),
        cmocka_unit_test(a_child_that_ends_while_it_is_idle_breaks_the_pool),
        cmocka_unit_test(the_end_of_an_idle_child_reaches_calls_in_others),
        cmocka_unit_test(what_is_no_answer_breaks_the_pool),
        cmocka_unit_test(an_answer_too_many_breaks_the_pool),
    };
    const struct CMUnitTest ends[] = {
        cmocka_unit_test(a_shutdown_waits_for_calls_and_children),
        cmocka_unit_test(a_shutdown_need_not_wait_and_loses_no_call),
        cmocka_unit_test(a_shutdown_may_cancel_what_is_queued),
        cmocka_unit_test(what_was_taken_is_run_after_the_last_reference_has_gone),
        cmocka_unit_test(a_loop_may_be_closed_while_calls_are_under_way),
        cmocka_unit_test(a_child_does_not_outlive_its_process),
        cmocka_unit_test(no_memory_is_an_error_here_and_in_a_child),
    };
    int failed = cmocka_run_group_tests_name("process pool: broken", broken, NULL, NULL);
    return failed + cmocka_run_group_tests_name("process pool: ends", ends, NULL, NULL);
}
