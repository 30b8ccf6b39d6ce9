/* Thread roles: who may pass, and the sentence with which the process ends otherwise. */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/thread.h"

static char said[256];

/* What becomes of a child that is `mine` (NULL: entered and left again) and asserts `role`. Returns
 * its wait status, -1 on failure; what it said is in `said`. */
static int child_asserts(struct thread_role *mine, struct thread_role *role)
{
    int fds[2], status = -1;
    size_t n = 0;
    ssize_t r;
    if (pipe(fds) < 0)
        return -1;
    pid_t pid = fork();
    if (pid == 0) {
        (void)dup2(fds[1], STDERR_FILENO);
        (void)setrlimit(RLIMIT_CORE, &(struct rlimit){0});
        (void)signal(SIGABRT, SIG_DFL);
        thread_enter(mine ? mine : &on_pool);
        if (!mine)
            thread_leave();
        thread_assert(role);
        _exit(0);
    }
    (void)close(fds[1]);
    while ((r = read(fds[0], said + n, sizeof said - 1 - n)) > 0)
        n += (size_t)r;
    said[n] = '\0';
    (void)close(fds[0]);
    return pid > 0 && waitpid(pid, &status, 0) == pid ? status : -1;
}

static void who_has_the_role_passes(void **state)
{
    (void)state;
    struct thread_role *const roles[] = {&on_master, &on_worker, &on_pool};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(child_asserts(roles[i], roles[i]), 0);
        assert_string_equal(said, "");
    }
}

static void another_role_ends_the_process_with_a_sentence(void **state)
{
    (void)state;
    int status = child_asserts(&on_worker, &on_master);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
    assert_string_equal(said,
                        "thread: called on the worker thread, belongs to the master thread\n");
    status = child_asserts(&on_master, &on_pool);
    assert_true(WIFSIGNALED(status));
    assert_string_equal(said, "thread: called on the master thread, belongs to the pool thread\n");
}

static void who_has_left_its_role_has_none(void **state)
{
    (void)state;
    int status = child_asserts(NULL, &on_pool);
    assert_true(WIFSIGNALED(status));
    assert_string_equal(said, "thread: called on the unnamed thread, belongs to the pool thread\n");
}

static void *enter_worker(void *arg)
{
    thread_enter(&on_worker);
    thread_assert(&on_worker);
    *(bool *)arg = true;
    return NULL;
}

static void a_role_belongs_to_one_thread(void **state)
{
    (void)state;
    pthread_t t;
    bool passed = false;
    thread_enter(&on_master);
    assert_int_equal(pthread_create(&t, NULL, enter_worker, &passed), 0);
    assert_int_equal(pthread_join(t, NULL), 0);
    assert_true(passed);
    thread_assert(&on_master);
    thread_leave();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_has_the_role_passes),
        cmocka_unit_test(another_role_ends_the_process_with_a_sentence),
        cmocka_unit_test(who_has_left_its_role_has_none),
        cmocka_unit_test(a_role_belongs_to_one_thread),
    };
    return cmocka_run_group_tests_name("thread", tests, NULL, NULL);
}
