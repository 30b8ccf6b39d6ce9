/* misuse.h - what the tests of misuse share: a call that must end the process with a sentence is
 * played in a child. Include once, after nothing: it brings cmocka. */
#ifndef TESTS_UNIT_MISUSE_H
#define TESTS_UNIT_MISUSE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef UNUSED
#define UNUSED __attribute__((unused))
#endif

/* Plays fn(arg) in a child. True where it aborted with that sentence; else *ret_said says why not.
 */
static UNUSED bool ends_with(void (*fn)(void *arg), void *arg, const char *sentence, char *ret_said,
                             size_t room)
{
    int fds[2], status = 0;
    size_t len = 0;
    if (pipe(fds) < 0)
        return false;
    pid_t pid = fork();
    if (pid == 0) {
        (void)signal(SIGABRT, SIG_DFL); /* cmocka's would go on with the tests */
        (void)setrlimit(RLIMIT_CORE, &(struct rlimit){0});
        (void)dup2(fds[1], STDERR_FILENO);
        fn(arg);
        _exit(0);
    }
    (void)close(fds[1]);
    for (ssize_t n; len < room - 1; len += (size_t)n)
        if ((n = read(fds[0], ret_said + len, room - 1 - len)) <= 0)
            break;
    ret_said[len] = '\0';
    (void)close(fds[0]);
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        return false;
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT && strstr(ret_said, sentence);
}

static UNUSED void check_end(void (*fn)(void *arg), void *arg, const char *sentence)
{
    static char said[65536];
    if (!ends_with(fn, arg, sentence, said, sizeof said))
        fail_msg("expected '%s', but it said '%s'", sentence, said);
}

#endif
