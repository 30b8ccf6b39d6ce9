/* LDFLAGS: -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=strdup,--wrap=asprintf */
/* Pools of processes: shut down, left by their loop or their process, without memory. */
#include "tests/unit/process_jobs.h"

#include <spawn.h>

CHILD_FUNCTION(make_poor) /* the child's next allocation fails */
{
    (void)arg, (void)len, (void)ret_result, (void)ret_len, (void)e;
    oom_arm(1);
    return 0;
}

static char farewell_path[32];

static void say_farewell(void)
{
    int fd = open(farewell_path, O_WRONLY | O_CLOEXEC);
    (void)dprintf(fd, "f");
    (void)close(fd);
}

CHILD_FUNCTION(at_exit)
{
    const struct way *w = arg;
    (void)len, (void)ret_result, (void)ret_len, (void)e;
    memcpy(farewell_path, w->told, sizeof farewell_path);
    return atexit(say_farewell);
}

static const struct process_function functions[] = {
    COMMON_FUNCTIONS,
    {"make-poor", make_poor},
    {"at-exit", at_exit},
    {NULL, NULL},
};

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

static int quiet_main(void *n, void **ret_result, struct err *e)
{
    struct executor *x = executor_new_processes(2);
    struct door d;
    (void)ret_result, (void)e;
    door_init(&d);
    struct future *f = call_through(x, &d);
    pid_t pid = begun(&d);
    int64_t idle = number_of(call(x, "pid"));
    executor_shutdown(x, false, false);
    while (!is_gone(idle))
        (void)task_sleep(1);
    open_door(&d);
    note(n, number_of(f) == pid);
    close_pool(x);
    door_deinit(&d);
    return 0;
}

static void a_child_that_ends_with_its_pool_breaks_nothing(void **state)
{
    (void)state;
    EXPECT(quiet_main, true);
}

static int farewell_main(void *n, void **ret_result, struct err *e)
{
    struct executor *x = executor_new_processes(1);
    struct door d;
    char said = 0;
    (void)ret_result, (void)e;
    door_init(&d);
    (void)fcntl(d.told[0], F_SETFL, O_NONBLOCK);
    note(n, end_of(run_in_process(x, "at-exit", &d.way, sizeof d.way, NULL), NULL, NULL));
    close_pool(x);
    note(n, read(d.told[0], &said, 1));
    note(n, said);
    door_deinit(&d);
    return 0;
}

static void a_child_ends_by_exit(void **state)
{
    (void)state;
    EXPECT(farewell_main, 0, 1, 'f');
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
    int r = 0;
    for (int i = 0; i < 2; i++) { /* after the one that fails the pool is whole */
        struct future *f = run_in_process(x, "echo", "12345678", 8, e);
        int s = f ? end_of(f, NULL, e) : -errno;
        r = s < 0 && r != ERROR_BROKEN_POOL ? s : r;
    }
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
    const struct CMUnitTest ends[] = {
        cmocka_unit_test(a_shutdown_waits_for_calls_and_children),
        cmocka_unit_test(a_shutdown_need_not_wait_and_loses_no_call),
        cmocka_unit_test(a_child_that_ends_with_its_pool_breaks_nothing),
        cmocka_unit_test(a_child_ends_by_exit),
        cmocka_unit_test(a_shutdown_may_cancel_what_is_queued),
        cmocka_unit_test(what_was_taken_is_run_after_the_last_reference_has_gone),
        cmocka_unit_test(a_loop_may_be_closed_while_calls_are_under_way),
        cmocka_unit_test(a_child_does_not_outlive_its_process),
        cmocka_unit_test(no_memory_is_an_error_here_and_in_a_child),
    };
    return cmocka_run_group_tests_name("process pool: ends", ends, NULL, NULL);
}
