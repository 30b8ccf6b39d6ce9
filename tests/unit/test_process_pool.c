/* LDFLAGS: -Wl,--wrap=posix_spawnp,--wrap=pidfd_open */
/* Pools of processes: what crosses, the order of calls, children and their descriptors. */
#include "tests/unit/process_jobs.h"

#include <semaphore.h>
#include <spawn.h>
#include <stdatomic.h>

#define MANY ((size_t)24 << 20)

CHILD_FUNCTION(fail_bare)
{
    (void)arg, (void)len, (void)ret_result, (void)ret_len, (void)e;
    return ERROR_ZERO_DIVISION;
}

CHILD_FUNCTION(positive)
{
    (void)arg, (void)len, (void)ret_result, (void)ret_len, (void)e;
    return 5;
}

CHILD_FUNCTION(too_much)
{
    (void)arg, (void)len, (void)ret_result, (void)e;
    *ret_len = PROCESS_BYTES_MAX + 1;
    return 0;
}

CHILD_FUNCTION(list_descriptors)
{
    int64_t fds[64];
    (void)arg, (void)len, (void)e;
    return give(fds, open_descriptors(fds, COUNT(fds)) * sizeof fds[0], ret_result, ret_len);
}

CHILD_FUNCTION(read_stdin)
{
    int64_t n = 0;
    (void)arg, (void)len, (void)e;
    n = read(0, &n, 1);
    return give(&n, sizeof n, ret_result, ret_len);
}

static const struct process_function functions[] = {
    COMMON_FUNCTIONS,       {"fail-bare", fail_bare}, {"positive", positive},
    {"too-much", too_much}, {"stdin", read_stdin},    {"descriptors", list_descriptors},
    {NULL, NULL},
};

static int refused_before_main; /* what a pool said before process_pool_child was called */

/* -- what crosses -- */
static bool echoes(struct executor *x, const char *bytes, size_t len)
{
    struct future *f = run_in_process(x, "echo", bytes, len, NULL);
    void *v = NULL;
    bool same = false;
    if (f && future_await(f, &v, NULL) == 0) {
        const struct process_bytes *b = v;
        same = b->len == len && memcmp(b->data, bytes, len) == 0 && b->data[len] == 0;
    }
    future_unref(f);
    return same;
}

static int bytes_main(void *n, void **ret_result, struct err *e)
{
    struct executor *x = executor_new_processes(1);
    char *many = malloc(MANY);
    (void)ret_result, (void)e;
    for (size_t i = 0; i < MANY; i++)
        many[i] = (char)(i * 31 >> 3);
    note(n, echoes(x, "", 0));
    note(n, echoes(x, "a\0b\n", 4));
    note(n, echoes(x, many, MANY));
    note(n, echoes(x, "small again", 11));
    free(many);
    close_pool(x);
    return 0;
}

static void bytes_of_any_number_go_there_and_come_back(void **state)
{
    (void)state;
    EXPECT(bytes_main, true, true, true, true);
}

static int copied_main(void *n, void **ret_result, struct err *e)
{
    struct executor *x = executor_new_processes(1);
    int64_t number = 7;
    (void)ret_result, (void)e;
    struct future *f = run_in_process(x, "echo", &number, sizeof number, NULL);
    number = 8;
    note(n, number_of(f));
    close_pool(x);
    return 0;
}

static void an_argument_is_copied(void **state)
{
    (void)state;
    EXPECT(copied_main, 7);
}

static int errors_main(void *arg, void **ret_result, struct err *e)
{
    struct err *seen = arg;
    struct executor *x = executor_new_processes(1);
    (void)ret_result, (void)e;
    (void)end_of(call(x, "fail"), NULL, &seen[0]);
    (void)end_of(call(x, "fail-bare"), NULL, &seen[1]);
    (void)end_of(call(x, "too-much"), NULL, &seen[2]);
    seen[3].code = (int)number_of(call(x, "bump"));
    seen[4].code = end_of(call(x, "positive"), NULL, NULL);
    close_pool(x);
    return 0;
}

static void errors_cross_with_their_code_and_sentence(void **state)
{
    struct err seen[5];
    (void)state;
    assert_int_equal(run(errors_main, seen, NULL, NULL), 0);
    assert_int_equal(seen[0].code, -EINVAL);
    assert_string_equal(seen[0].text, "in child");
    assert_int_equal(seen[1].code, ERROR_ZERO_DIVISION);
    assert_string_equal(seen[1].text, "division by zero");
    assert_int_equal(seen[2].code, -EMSGSIZE);
    assert_non_null(strstr(seen[2].text, "1073741825"));
    assert_int_equal(seen[3].code, 1); /* the pool is whole */
    assert_int_equal(seen[4].code, 0); /* as a coroutine's */
}

static int refusals_main(void *arg, void **ret_result, struct err *e)
{
    struct err *seen = arg;
    struct executor *x = executor_new_processes(1), *threads = executor_new(1);
    char long_name[PROCESS_NAME_MAX + 2];
    (void)ret_result;
    memset(long_name, 'n', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = 0;
    (void)run_in_process(x, "no-such", NULL, 0, &seen[0]);
    (void)run_in_process(x, long_name, NULL, 0, &seen[1]);
    (void)run_in_process(threads, "echo", NULL, 0, &seen[2]);
    (void)run_in_process(NULL, "echo", NULL, 0, &seen[3]);
    (void)run_in_process(x, "echo", "", PROCESS_BYTES_MAX + 1, &seen[4]);
    seen[5].code = run_in_executor(x, give_at_once, NULL) ? 0 : -errno;
    seen[6].code = loop_set_default_executor(loop_running(), x);
    seen[7].code = end_of(run_in_executor(threads, give_at_once, e), NULL, NULL);
    close_pool(threads);
    close_pool(x);
    return 0;
}

static void what_does_not_fit_is_refused_with_a_sentence(void **state)
{
    struct err seen[8] = {{0}};
    struct executor *x = executor_new_processes(1);
    (void)state;
    assert_int_equal(run(refusals_main, seen, NULL, NULL), 0);
    assert_int_equal(seen[0].code, -EINVAL);
    assert_string_equal(seen[0].text, "no function 'no-such' is registered");
    assert_int_equal(seen[1].code, -EINVAL);
    assert_int_equal(seen[2].code, ERROR_TYPE);
    assert_string_equal(seen[2].text, "the executor must be a pool of processes");
    assert_int_equal(seen[3].code, ERROR_TYPE);
    assert_int_equal(seen[4].code, -EMSGSIZE);
    assert_non_null(strstr(seen[4].text, "1073741825"));
    assert_int_equal(seen[5].code, ERROR_TYPE);
    assert_int_equal(seen[6].code, ERROR_TYPE);
    assert_int_equal(seen[7].code, 0);
    assert_null(run_in_process(x, "echo", NULL, 0, &seen[0]));
    assert_int_equal(seen[0].code, ERROR_NO_LOOP);
    executor_unref(x);
    assert_int_equal(refused_before_main, ERROR_RUNTIME);
}

/* -- the order of calls, and children -- */
static int order_main(void *n, void **ret_result, struct err *e)
{
    struct executor *x = executor_new_processes(1);
    struct future *f[12];
    (void)ret_result, (void)e;
    for (size_t i = 0; i < COUNT(f); i++)
        f[i] = call(x, "bump");
    for (size_t i = COUNT(f); i-- > 0;)
        note(n, number_of(f[i]));
    close_pool(x);
    return 0;
}

static void one_child_runs_calls_in_the_order_of_submission(void **state)
{
    (void)state;
    EXPECT(order_main, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1);
}

static int lazy_main(void *n, void **ret_result, struct err *e)
{
    struct executor *x = executor_new_processes(2);
    struct door d;
    (void)ret_result, (void)e;
    door_init(&d);
    struct future *f = call_through(x, &d);
    pid_t first = begun(&d);
    note(n, first > 0 && first != getpid());
    struct future *g = call_through(x, &d); /* nobody is idle: a second child */
    pid_t second = begun(&d);
    note(n, second > 0 && second != first);
    struct future *h = call(x, "pid"); /* two is all: it waits, and the loop does not */
    note(n, turns(3));
    note(n, future_done(h));
    open_door(&d), open_door(&d);
    note(n, end_of(f, NULL, NULL));
    note(n, end_of(g, NULL, NULL));
    int64_t third = number_of(h);
    note(n, third == first || third == second);
    close_pool(x);
    note(n, is_gone(first) && is_gone(second));
    door_deinit(&d);
    return 0;
}

static void children_start_when_none_is_idle_up_to_the_limit(void **state)
{
    (void)state;
    EXPECT(lazy_main, true, true, 0, false, 0, 0, true, true);
}

static int crowd_main(void *n, void **ret_result, struct err *e)
{
    static struct future *f[200];
    int64_t answer, sum = 0;
    int codes = 0;
    struct executor *x = executor_new_processes(2);
    (void)ret_result, (void)e;
    for (int64_t i = 0; i < (int64_t)COUNT(f); i++)
        f[i] = run_in_process(x, "echo", &i, sizeof i, NULL);
    for (size_t i = 0; i < COUNT(f); i++) {
        codes |= end_of(f[i], &answer, NULL);
        sum += answer == (int64_t)i ? answer : -1000000;
    }
    note(n, codes);
    note(n, sum);
    close_pool(x);
    return 0;
}

static void two_hundred_calls_share_two_children(void **state)
{
    (void)state;
    EXPECT(crowd_main, 0, 19900);
}

static int before_main(void *n, void **ret_result, struct err *e)
{
    struct executor *x = executor_new_processes(1);
    struct door d;
    (void)ret_result, (void)e;
    door_init(&d);
    struct future *f = call_through(x, &d), *g = call(x, "bump");
    (void)begun(&d);
    note(n, future_cancel(g));
    note(n, end_of(g, NULL, NULL));
    note(n, turns(2)); /* the news reaches the pool before the door opens */
    open_door(&d);
    note(n, end_of(f, NULL, NULL));
    note(n, number_of(call(x, "bump")));
    close_pool(x);
    door_deinit(&d);
    return 0;
}

static void a_call_cancelled_before_its_start_never_runs(void **state)
{
    (void)state;
    EXPECT(before_main, true, -ECANCELED, 0, 0, 1);
}

static int after_main(void *n, void **ret_result, struct err *e)
{
    struct executor *x = executor_new_processes(1);
    struct door d;
    (void)ret_result, (void)e;
    door_init(&d);
    struct future *f = call_through(x, &d);
    pid_t pid = begun(&d);
    note(n, future_cancel(f));
    note(n, end_of(f, NULL, NULL));
    open_door(&d);
    note(n, number_of(call(x, "pid")) == pid); /* behind it, in the same child */
    close_pool(x);
    door_deinit(&d);
    return turns(2);
}

static void a_call_cancelled_after_its_start_runs_to_its_end(void **state)
{
    (void)state;
    EXPECT(after_main, true, -ECANCELED, true);
}

/* -- descriptors -- */
static bool has_only_its_own(struct future *f)
{
    bool seen[PROCESS_CHILD_FD + 1] = {false}, only = true;
    void *v = NULL;
    int r = future_await(f, &v, NULL);
    const struct process_bytes *b = v;
    size_t count = r == 0 ? b->len / sizeof(int64_t) : 0;
    for (size_t i = 0; i < count; i++) {
        int64_t fd;
        memcpy(&fd, b->data + i * sizeof fd, sizeof fd);
        only = only && fd <= PROCESS_CHILD_FD;
        seen[fd <= PROCESS_CHILD_FD ? fd : 0] = true;
    }
    future_unref(f);
    return only && seen[0] && seen[PROCESS_CHILD_FD];
}

static int clean_main(void *n, void **ret_result, struct err *e)
{
    struct executor *x = executor_new_processes(2);
    struct door d;
    (void)ret_result, (void)e;
    door_init(&d);
    int careless = dup(d.told[0]); /* not CLOEXEC */
    struct future *f = call_through(x, &d);
    (void)begun(&d);
    note(n, has_only_its_own(call(x, "descriptors"))); /* the second child, not the first one's */
    open_door(&d);
    note(n, end_of(f, NULL, NULL));
    close_pool(x);
    (void)close(careless);
    door_deinit(&d);
    return 0;
}

static int stdin_main(void *n, void **ret_result, struct err *e)
{
    struct executor *x = executor_new_processes(1);
    struct door d;
    (void)ret_result, (void)e;
    door_init(&d);
    int before = fcntl(0, F_DUPFD_CLOEXEC, 0);
    open_door(&d); /* something to read */
    (void)dup2(d.open[0], 0);
    note(n, number_of(call(x, "stdin")));
    (void)dup2(before, 0);
    (void)close(before);
    close_pool(x);
    door_deinit(&d);
    return 0;
}

static void a_child_has_no_descriptors_but_its_own(void **state)
{
    size_t before = descriptors_here();
    (void)state;
    EXPECT(clean_main, true, 0);
    EXPECT(stdin_main, 0);
    assert_int_equal(descriptors_here(), before);
}

/* -- what cannot be had -- */
static atomic_bool no_processes, no_pidfds, gated;
static sem_t at_gate, gate;

int __real_posix_spawnp(pid_t *pid, const char *file, const posix_spawn_file_actions_t *files,
                        const posix_spawnattr_t *a, char *const argv[], char *const envp[]);
int __wrap_posix_spawnp(pid_t *pid, const char *file, const posix_spawn_file_actions_t *files,
                        const posix_spawnattr_t *a, char *const argv[], char *const envp[]);
int __real_pidfd_open(pid_t pid, unsigned flags);
int __wrap_pidfd_open(pid_t pid, unsigned flags);

int __wrap_posix_spawnp(pid_t *pid, const char *file, const posix_spawn_file_actions_t *files,
                        const posix_spawnattr_t *a, char *const argv[], char *const envp[])
{
    if (atomic_load(&gated)) {
        (void)sem_post(&at_gate);
        (void)sem_wait(&gate);
    }
    return atomic_load(&no_processes) ? EAGAIN
                                      : __real_posix_spawnp(pid, file, files, a, argv, envp);
}

int __wrap_pidfd_open(pid_t pid, unsigned flags)
{
    if (!atomic_load(&no_pidfds))
        return __real_pidfd_open(pid, flags);
    errno = EMFILE;
    return -1;
}

static int scarce_main(void *arg, void **ret_result, struct err *e)
{
    struct err *seen = arg;
    struct executor *x = executor_new_processes(2);
    (void)ret_result, (void)e;
    atomic_store(&no_processes, true);
    (void)end_of(call(x, "bump"), NULL, &seen[0]);
    atomic_store(&no_processes, false);
    atomic_store(&no_pidfds, true);
    (void)end_of(call(x, "bump"), NULL, &seen[1]);
    atomic_store(&no_pidfds, false);
    seen[2].code = (int)number_of(call(x, "bump"));
    close_pool(x);
    return 0;
}

static void without_a_process_a_call_fails_and_the_pool_is_whole(void **state)
{
    struct err seen[3];
    size_t before = descriptors_here();
    (void)state;
    assert_int_equal(run(scarce_main, seen, NULL, NULL), 0);
    assert_int_equal(seen[0].code, -EAGAIN);
    assert_string_equal(seen[0].text,
                        "no process can be started: Resource temporarily unavailable");
    assert_int_equal(seen[1].code, -EMFILE);
    assert_int_equal(seen[2].code, 1);
    assert_int_equal(descriptors_here(), before);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* the one without a pidfd was reaped */
}

static int gate_main(void *n, void **ret_result, struct err *e)
{
    struct executor *x = executor_new_processes(2);
    struct door d;
    (void)ret_result, (void)e;
    door_init(&d);
    struct future *f = call_through(x, &d);
    pid_t pid = begun(&d);
    atomic_store(&gated, true);
    struct future *g = call_through(x, &d);
    (void)sem_wait(&at_gate);
    atomic_store(&gated, false);
    (void)kill(pid, SIGKILL);
    note(n, end_of(f, NULL, NULL));
    while (!is_gone(pid)) /* reaped, although nobody shuts the pool down */
        (void)task_sleep(1);
    (void)sem_post(&gate);
    note(n, end_of(g, NULL, NULL)); /* nobody opens the door to it */
    close_pool(x);
    door_deinit(&d);
    return 0;
}

static void a_child_that_starts_while_the_pool_breaks_is_killed(void **state)
{
    (void)state;
    (void)sem_init(&at_gate, 0, 0);
    (void)sem_init(&gate, 0, 0);
    EXPECT(gate_main, ERROR_BROKEN_POOL, ERROR_BROKEN_POOL);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

int main(int argc, char **argv)
{
    if (!executor_new_processes(1))
        refused_before_main = -errno;
    process_pool_child(argc, argv, functions);
    const struct CMUnitTest crossing[] = {
        cmocka_unit_test(bytes_of_any_number_go_there_and_come_back),
        cmocka_unit_test(an_argument_is_copied),
        cmocka_unit_test(errors_cross_with_their_code_and_sentence),
        cmocka_unit_test(what_does_not_fit_is_refused_with_a_sentence),
    };
    const struct CMUnitTest children[] = {
        cmocka_unit_test(one_child_runs_calls_in_the_order_of_submission),
        cmocka_unit_test(children_start_when_none_is_idle_up_to_the_limit),
        cmocka_unit_test(two_hundred_calls_share_two_children),
        cmocka_unit_test(a_call_cancelled_before_its_start_never_runs),
        cmocka_unit_test(a_call_cancelled_after_its_start_runs_to_its_end),
        cmocka_unit_test(a_child_has_no_descriptors_but_its_own),
        cmocka_unit_test(without_a_process_a_call_fails_and_the_pool_is_whole),
        cmocka_unit_test(a_child_that_starts_while_the_pool_breaks_is_killed),
    };
    int failed = cmocka_run_group_tests_name("process pool: what crosses", crossing, NULL, NULL);
    return failed + cmocka_run_group_tests_name("process pool: children", children, NULL, NULL);
}
