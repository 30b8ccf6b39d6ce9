/* LDFLAGS: -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=strdup,--wrap=asprintf */
#include "tests/unit/sockets.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

#include "worker/runtime/process.h"
#include "worker/runtime/stream.h"

static struct process *shell(const char *script, unsigned pipes)
{
    const char *const argv[] = {"sh", "-c", script, NULL};
    return process_spawn(argv, NULL, pipes, NULL);
}

static int talk_main(void *n, void **ret_result, struct err *e)
{
    const char *line;
    size_t len;
    int status = -99;
    (void)ret_result;
    struct process *p = shell("read x; echo \"got $x\"; exit 3", PROCESS_STDIN | PROCESS_STDOUT);
    int in = process_take_pipe(p, 0);
    struct stream *out = stream_new(process_take_pipe(p, 1), 0);
    note(n, process_take_pipe(p, 1));
    note(n, process_take_pipe(p, 2));
    note(n, io_write(in, "word\n", 5, NO_LIMIT, e));
    note(n, stream_read_until(out, "\n", &line, &len, NO_LIMIT, e));
    note(n, len == 9 && memcmp(line, "got word\n", 9) == 0);
    note(n, process_wait(p, NO_LIMIT, &status, e));
    note(n, status);
    note(n, process_wait(p, NO_LIMIT, &status, e));
    note(n, process_signal(p, SIGTERM));
    io_close(loop_running(), in);
    out = stream_free(out);
    p = process_free(p);
    return 0;
}

static void a_child_talks_and_its_status_is_known(void **state)
{
    (void)state;
    EXPECT(talk_main, -1, -1, 5, 0, 1, 0, 3, 0, -ESRCH);
}

struct waiting {
    struct process *process;
    int code;
};

static int wait_long(void *arg, void **ret_result, struct err *e)
{
    struct waiting *w = arg;
    int status;
    (void)ret_result;
    w->code = process_wait(w->process, NO_LIMIT, &status, e);
    return w->code;
}

static int killed_main(void *n, void **ret_result, struct err *e)
{
    int status = 0;
    (void)ret_result;
    struct waiting w = {.process = shell("exec sleep 1000", 0)};
    struct task *t = task_create(wait_long, &w, NULL);
    (void)turns(2);
    note(n, task_cancel(t));
    note(n, end_of(t));
    note(n, process_wait(w.process, NO_LIMIT, &status, e)); /* cancelling has killed it */
    note(n, status);
    w.process = process_free(w.process);
    struct process *p = shell("exec sleep 1000", 0);
    note(n, process_wait(p, in_ms(3), &status, e));
    note(n, process_wait(p, NO_LIMIT, &status, e));
    note(n, status);
    p = process_free(p);
    p = shell("exec sleep 1000", 0);
    note(n, process_signal(p, SIGTERM));
    note(n, process_wait(p, NO_LIMIT, &status, e));
    note(n, status);
    p = process_free(p);
    return 0;
}

static void cancelling_and_deadlines_kill(void **state)
{
    (void)state;
    EXPECT(killed_main, 1, -ECANCELED, 0, -SIGKILL, -ETIMEDOUT, 0, -SIGKILL, 0, 0, -SIGTERM);
}

static int orphan_main(void *pids, void **ret_result, struct err *e)
{
    pid_t *pid = pids;
    (void)ret_result, (void)e;
    for (int i = 0; i < 3; i++) {
        struct process *p = shell("exec sleep 1000", 0);
        pid[i] = process_pid(p);
        p = process_free(p);
    }
    return 0;
}

/* Another part of the program has a child of its own: its end stays there to be waited for. */
static void freeing_reaps_its_own_children_and_no_others(void **state)
{
    pid_t pids[3] = {0}, other;
    char name[] = "true", *const argv[] = {name, NULL};
    int status;
    (void)state;
    assert_int_equal(posix_spawnp(&other, "true", NULL, NULL, argv, environ), 0);
    assert_int_equal(run(orphan_main, pids, NULL, NULL), 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(waitpid(pids[i], NULL, WNOHANG), -1);
        assert_int_equal(errno, ECHILD);
    }
    assert_int_equal(waitpid(other, &status, 0), other);
    assert_int_equal(status, 0);
}

static int missing_main(void *n, void **ret_result, struct err *e)
{
    const char *const argv[] = {"/nonexistent/program", NULL};
    (void)ret_result;
    note(n, process_spawn(argv, NULL, PROCESS_STDIN | PROCESS_STDERR, e) == NULL);
    note(n, e->code);
    note(n, strstr(e->text, "/nonexistent/program") != NULL);
    return 0;
}

static void what_cannot_start_is_an_error_that_names_it(void **state)
{
    const char *const argv[] = {"true", NULL};
    struct err e;
    (void)state;
    EXPECT(missing_main, 1, -ENOENT, 1);
    assert_null(process_spawn(argv, NULL, 0, &e));
    assert_int_equal(e.code, ERROR_NO_LOOP);
}

struct passed { /* from a loop to the next */
    struct process *process;
    int in, status, again;
};

static int leave_main(void *arg, void **ret_result, struct err *e)
{
    const char *const argv[] = {"sh", "-c", "read x; exit 4", NULL};
    struct passed *p = arg;
    (void)ret_result;
    p->process = process_spawn(argv, NULL, PROCESS_STDIN, e);
    p->in = process_take_pipe(p->process, 0);
    int r = process_await_end(p->process, in_ms(1), e); /* it is watched here, then no more */
    process_leave(p->process);
    return r == -ETIMEDOUT ? 0 : r;
}

static int join_main(void *arg, void **ret_result, struct err *e)
{
    struct passed *p = arg;
    (void)ret_result;
    int r = process_join(p->process, e);
    io_close(loop_running(), p->in);
    p->again = process_wait(p->process, NO_LIMIT, &p->status, e);
    p->process = process_free(p->process);
    return r;
}

static void *in_another_thread(void *passed)
{
    return (void *)(intptr_t)run(join_main, passed, NULL, NULL);
}

static void one_loop_starts_it_and_another_waits_for_it(void **state)
{
    struct passed p = {.status = -99, .again = -99};
    struct err e;
    pthread_t thread;
    void *code;
    (void)state;
    assert_int_equal(run(leave_main, &p, NULL, &e), 0);
    assert_int_equal(kill(process_pid(p.process), 0), 0); /* its loop has ended, it has not */
    assert_int_equal(process_join(p.process, &e), ERROR_NO_LOOP);
    assert_int_equal(pthread_create(&thread, NULL, in_another_thread, &p), 0);
    assert_int_equal(pthread_join(thread, &code), 0);
    assert_null(code);
    assert_int_equal(p.again, 0);
    assert_int_equal(p.status, 4);
}

static void one_that_has_left_ends_when_it_is_freed(void **state)
{
    struct passed p;
    (void)state;
    assert_int_equal(run(leave_main, &p, NULL, NULL), 0);
    pid_t pid = process_pid(p.process);
    struct pollfd end = {.fd = process_pidfd(p.process), .events = POLLIN};
    assert_int_equal(poll(&end, 1, 0), 0);
    assert_int_equal(process_signal(p.process, SIGTERM), 0);
    assert_int_equal(poll(&end, 1, -1), 1);
    p.process = process_free(p.process);
    assert_int_equal(kill(pid, 0), -1);
    assert_int_equal(fcntl(end.fd, F_GETFD), -1);
    (void)close(p.in);
}

static int play_process(void *arg, void **ret_result, struct err *e)
{
    const char *const argv[] = {"true", NULL};
    int status;
    (void)arg, (void)ret_result;
    struct process *p = process_spawn(argv, NULL, PROCESS_STDOUT, e);
    if (!p)
        return e->code;
    int r = process_wait(p, in_ms(60000), &status, e);
    p = process_free(p);
    return r;
}

static void no_memory_is_an_error_and_leaves_nothing_behind(void **state)
{
    (void)state;
    check_each_allocation(play_process);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_child_talks_and_its_status_is_known),
        cmocka_unit_test(cancelling_and_deadlines_kill),
        cmocka_unit_test(freeing_reaps_its_own_children_and_no_others),
        cmocka_unit_test(what_cannot_start_is_an_error_that_names_it),
        cmocka_unit_test(one_loop_starts_it_and_another_waits_for_it),
        cmocka_unit_test(one_that_has_left_ends_when_it_is_freed),
        cmocka_unit_test(no_memory_is_an_error_and_leaves_nothing_behind),
    };
    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
