#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "worker/runtime/run.h"
#include "worker/runtime/stack.h"
#include "worker/runtime/task.h"

#define BYTES ((size_t)64 << 10)

static void each_stack_is_writable_and_apart(void **state)
{
    struct stack *s[40];
    (void)state;
    struct stack_pool *p = stack_pool_new(BYTES, 16);
    for (int i = 0; i < 40; i++) {
        s[i] = stack_get(p);
        assert_non_null(s[i]);
        assert_true(s[i]->size >= BYTES - 2 * (size_t)sysconf(_SC_PAGESIZE));
        memset(s[i]->low + STACK_RED_ZONE, i, s[i]->size - STACK_RED_ZONE);
    }
    for (int i = 0; i < 40; i++)
        assert_int_equal(s[i]->low[STACK_RED_ZONE], i);
    stack_pool_free(p);
}

static void a_stack_is_used_again_last_in_first_out(void **state)
{
    (void)state;
    struct stack_pool *p = stack_pool_new(BYTES, 4);
    struct stack *a = stack_get(p), *b = stack_get(p);
    stack_put(p, a);
    stack_put(p, b);
    assert_ptr_equal(stack_get(p), b);
    assert_ptr_equal(stack_get(p), a);
    stack_pool_free(p);
}

static size_t resident_pages(const struct stack *s)
{
    unsigned char there[64] = {0};
    size_t page = (size_t)sysconf(_SC_PAGESIZE), pages = 0;
    char *low = s->low;
    assert_int_equal(mincore(low, s->size, there), 0);
    for (size_t i = 0; i < s->size / page; i++)
        pages += there[i] & 1;
    return pages;
}

static void idle_stacks_beyond_the_warm_ones_keep_no_page(void **state)
{
    static struct stack *s[STACK_WARM + 8];
    size_t warm = 0, cold = 0;
    (void)state;
    struct stack_pool *p = stack_pool_new(BYTES, 256);
    for (size_t i = 0; i < STACK_WARM + 8; i++) {
        s[i] = stack_get(p);
        assert_non_null(s[i]);
        memset(s[i]->low + s[i]->size - 9000, 1, 9000);
    }
    for (size_t i = 0; i < STACK_WARM + 8; i++)
        stack_put(p, s[i]);
    for (size_t i = 0; i < STACK_WARM + 8; i++)
        *(resident_pages(s[i]) ? &warm : &cold) += 1;
    assert_int_equal(warm, STACK_WARM);
    assert_int_equal(cold, 8);
    stack_pool_free(p);
}

static void a_guard_page_is_recognised(void **state)
{
    (void)state;
    stack_force_guard(STACK_GUARD_MPROTECT);
    struct stack_pool *p = stack_pool_new(BYTES, 2);
    struct stack *s = stack_get(p);
    assert_int_equal(s->guard, STACK_GUARD_MPROTECT);
    assert_true(stack_guards(s, s->low - 1));
    assert_false(stack_guards(s, s->low));
    assert_false(stack_guards(s, s->low - 2 * sysconf(_SC_PAGESIZE)));
    assert_false(stack_damaged(s));
    stack_pool_free(p);
    stack_force_guard(-1);
}

static void a_red_zone_is_clean_until_it_is_written_to(void **state)
{
    (void)state;
    stack_force_guard(STACK_GUARD_RED_ZONE);
    struct stack_pool *p = stack_pool_new(BYTES, 2);
    struct stack *s = stack_get(p);
    assert_int_equal(s->guard, STACK_GUARD_RED_ZONE);
    assert_false(stack_damaged(s));
    s->low[STACK_RED_ZONE] = 1;
    assert_false(stack_damaged(s));
    s->low[STACK_RED_ZONE - 1] = 1;
    assert_true(stack_damaged(s));
    stack_pool_free(p);
    stack_force_guard(-1);
}

/* -- an overflow ends the process, and says whose it was: played in a child -- */

struct play {
    int guard;
    size_t bytes; /* how deep to go */
    const char *name;
    bool fault; /* before a switch can look at the red zone */
};

static size_t go_down(volatile char *above, size_t bytes)
{
    volatile char here[256];
    here[0] = above[0];
    memset((char *)here, 0x5a, sizeof here);
    return bytes < sizeof here ? (size_t)here[1]
                               : go_down(here, bytes - sizeof here) + (size_t)here[2];
}

static volatile char *volatile nowhere = (volatile char *)64;

static int dive(void *arg, void **ret_result, struct err *e)
{
    const struct play *p = arg;
    char start = 1;
    (void)e;
    *ret_result = (void *)go_down(&start, p->bytes);
    if (p->fault)
        *nowhere = 1;
    return task_sleep(0);
}

/* The main task's stack lies below the diver's: without a guard page the dive damages it. */
static int dive_main(void *arg, void **ret_result, struct err *e)
{
    struct play *p = arg;
    struct task *t = task_create(dive, p, p->name);
    int r = task_await(t, ret_result, e);
    task_unref(t);
    return r;
}

static void play(struct play *p, char *ret_text, size_t room, int *ret_status)
{
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)dup2(fds[1], STDERR_FILENO);
        stack_force_guard(p->guard);
        _exit(run(dive_main, p, NULL, NULL) == 0 ? 0 : 1);
    }
    (void)close(fds[1]);
    size_t len = 0;
    for (ssize_t n = 1; n > 0 && len < room - 1; len += (size_t)(n > 0 ? n : 0))
        n = read(fds[0], ret_text + len, room - 1 - len);
    ret_text[len] = '\0';
    (void)close(fds[0]);
    assert_int_equal(waitpid(pid, ret_status, 0), pid);
}

static void check_overflow(struct play *p, const char *wanted)
{
    static char text[1 << 20]; /* a checker may have more to say about an overflow */
    int status;
    play(p, text, sizeof text, &status);
    assert_non_null(strstr(text, wanted));
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGSEGV);
}

static void an_overflow_names_its_task(void **state)
{
    (void)state;
    struct play p = {-1, (size_t)1 << 24, "diver", false};
    check_overflow(&p, "fatal: task 'diver' overflowed its stack of ");
}

static void an_overflow_names_a_task_without_a_name(void **state)
{
    (void)state;
    struct play p = {-1, (size_t)1 << 24, NULL, false};
    check_overflow(&p, "fatal: task 'Task-2' overflowed its stack of ");
}

static void an_overflow_is_caught_by_mprotect(void **state)
{
    (void)state;
    struct play p = {STACK_GUARD_MPROTECT, (size_t)1 << 24, "diver", false};
    check_overflow(&p, "fatal: task 'diver' overflowed");
}

static void an_overflow_is_caught_by_the_red_zone(void **state)
{
    (void)state;
    struct play p = {STACK_GUARD_RED_ZONE, STACK_BYTES, "diver", false};
    check_overflow(&p, "fatal: task 'diver' overflowed");
}

static void a_fault_behind_a_damaged_red_zone_is_an_overflow(void **state)
{
    (void)state;
    struct play p = {STACK_GUARD_RED_ZONE, STACK_BYTES, "diver", .fault = true};
    check_overflow(&p, "fatal: task 'diver' overflowed");
}

static void a_dive_that_fits_is_fine(void **state)
{
    (void)state;
    for (int guard = STACK_GUARD_MADVISE; guard <= STACK_GUARD_RED_ZONE; guard++) {
        struct play p = {guard, STACK_BYTES / 4, "diver", false};
        char text[4096];
        int status;
        play(&p, text, sizeof text, &status);
        assert_string_equal(text, "");
        assert_int_equal(status, 0);
    }
}

static void end_here(int number)
{
    (void)number;
    (void)raise(SIGKILL);
}

static void other_faults_go_to_the_handler_before(void **state)
{
    int status;
    (void)state;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)signal(SIGSEGV, end_here); /* replaced by the runtime, which must hand it on */
        struct play p = {-1, 1, "diver", false};
        if (run(dive_main, &p, NULL, NULL) < 0)
            _exit(1);
        (void)raise(SIGSEGV);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGKILL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(other_faults_go_to_the_handler_before),
        cmocka_unit_test(each_stack_is_writable_and_apart),
        cmocka_unit_test(a_stack_is_used_again_last_in_first_out),
        cmocka_unit_test(idle_stacks_beyond_the_warm_ones_keep_no_page),
        cmocka_unit_test(a_guard_page_is_recognised),
        cmocka_unit_test(a_red_zone_is_clean_until_it_is_written_to),
        cmocka_unit_test(an_overflow_names_its_task),
        cmocka_unit_test(an_overflow_names_a_task_without_a_name),
        cmocka_unit_test(an_overflow_is_caught_by_mprotect),
        cmocka_unit_test(an_overflow_is_caught_by_the_red_zone),
        cmocka_unit_test(a_fault_behind_a_damaged_red_zone_is_an_overflow),
        cmocka_unit_test(a_dive_that_fits_is_fine),
    };
    return cmocka_run_group_tests_name("stack", tests, NULL, NULL);
}
