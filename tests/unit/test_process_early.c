/* LDFLAGS: -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=strdup,--wrap=asprintf */
#include "tests/unit/sockets.h"

#include <signal.h>
#include <stdio.h>

#include "worker/handler/tree.h"
#include "worker/runtime/process.h"

#define AT_ONCE 32
#define SIGNALLED 50

static struct process *begin(const char *const argv[], const char *const envp[], struct err *e)
{
    return process_start(
        &(struct process_options){
            .argv = argv, .envp = envp, .session = true, .alone = true, .early = true},
        e);
}

static struct process *shell(const char *script, const char *const envp[])
{
    const char *const argv[] = {"/bin/sh", "-c", script, NULL};
    return begin(argv, envp, NULL);
}

/* The list of words and that of variables are gone before the program has begun. */
static int many_main(void *n, void **ret_result, struct err *e)
{
    struct process *p[AT_ONCE];
    char variable[AT_ONCE][16];
    int right = 0;
    (void)ret_result;
    for (int i = 0; i < AT_ONCE; i++) {
        (void)snprintf(variable[i], sizeof variable[i], "CODE=%d", i);
        const char *envp[] = {variable[i], NULL};
        p[i] = shell("exit $CODE", envp);
        envp[0] = "CODE=99";
    }
    for (int i = 0; i < AT_ONCE; i++) {
        int status = -99;
        right += process_wait(p[i], NO_LIMIT, &status, e) == 0 && status == i &&
                 process_failed(p[i]) == 0;
        p[i] = process_free(p[i]);
    }
    note(n, right);
    return 0;
}

static void many_begin_at_once_each_with_its_own_words(void **state)
{
    (void)state;
    EXPECT(many_main, AT_ONCE);
}

static int fails_with(const struct process_options *o, struct err *e)
{
    int status = 0;
    struct process *p = process_start(o, e);
    int r = p ? process_wait(p, NO_LIMIT, &status, e) : e->code;
    if (r == 0)
        r = process_failed(p);
    p = process_free(p);
    return r;
}

/* At once where this system cannot start it early, at its end where it can. */
static int missing_main(void *n, void **ret_result, struct err *e)
{
    const char *const missing[] = {"/nonexistent/program", NULL}, *const no_program[] = {"/", NULL},
                      *const plain[] = {"/bin/true", NULL};
    (void)ret_result;
    note(n, fails_with(&(struct process_options){.argv = missing, .early = true}, e));
    note(n, fails_with(&(struct process_options){.argv = no_program, .early = true}, e));
    note(n,
         fails_with(
             &(struct process_options){.argv = plain, .directory = "/nonexistent", .early = true},
             e));
    note(n, fails_with(&(struct process_options){.argv = plain, .early = true}, e));
    return 0;
}

static void what_cannot_begin_is_told_at_its_end(void **state)
{
    (void)state;
    EXPECT(missing_main, -ENOENT, -EACCES, -ENOENT, 0);
}

static int signal_main(void *n, void **ret_result, struct err *e)
{
    const char *const argv[] = {"/bin/sleep", "1000", NULL};
    int ended = 0;
    (void)ret_result;
    while (ended < SIGNALLED) {
        int status = 0;
        struct process *p = begin(argv, NULL, e);
        struct tree t = {.leader = process_pid(p), .mark = "TEST_PROCESS_EARLY=1"};
        (void)tree_signal(&t, SIGTERM);
        int r = process_wait(p, in_ms(30000), &status, e);
        p = process_free(p);
        if (r < 0 || status != -SIGTERM)
            break;
        ended++;
    }
    note(n, ended);
    return 0;
}

static void a_signal_reaches_what_has_not_begun(void **state)
{
    (void)state;
    EXPECT(signal_main, SIGNALLED);
}

static int free_main(void *n, void **ret_result, struct err *e)
{
    const char *const argv[] = {"/bin/sleep", "1000", NULL};
    pid_t pid[AT_ONCE];
    (void)ret_result;
    for (int i = 0; i < AT_ONCE; i++) {
        struct process *p = begin(argv, NULL, e);
        pid[i] = process_pid(p);
        p = process_free(p);
    }
    for (int i = 0; i < AT_ONCE; i++)
        while (process_is_known(pid[i]))
            (void)task_sleep(1);
    note(n, 0);
    return 0;
}

static void one_that_has_not_begun_is_freed(void **state)
{
    (void)state;
    EXPECT(free_main, 0);
}

static int play_early(void *arg, void **ret_result, struct err *e)
{
    const char *const argv[] = {"/bin/true", NULL};
    int status;
    (void)arg, (void)ret_result;
    struct process *p = begin(argv, NULL, e);
    if (!p)
        return e->code;
    int r = process_wait(p, in_ms(60000), &status, e);
    p = process_free(p);
    return r;
}

static void no_memory_is_an_error_and_leaves_nothing_behind(void **state)
{
    (void)state;
    check_each_allocation(play_early);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_begin_at_once_each_with_its_own_words),
        cmocka_unit_test(what_cannot_begin_is_told_at_its_end),
        cmocka_unit_test(a_signal_reaches_what_has_not_begun),
        cmocka_unit_test(one_that_has_not_begun_is_freed),
        cmocka_unit_test(no_memory_is_an_error_and_leaves_nothing_behind),
    };
    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
