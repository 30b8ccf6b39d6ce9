#include "worker/runtime/child_clone.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <linux/sched.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define STACK ((size_t)8192) /* no handler of a signal runs on it */
#define FAILED 127

#if defined(__clang__)
#define PLAIN __attribute__((noinline, disable_sanitizer_instrumentation))
#else
#define PLAIN                                                               \
    __attribute__((noinline, no_sanitize("address"), no_sanitize("thread"), \
                   no_sanitize("undefined")))
#endif

struct birth {
    _Alignas(max_align_t) char stack[STACK];
    struct child_clone plan;
    volatile int code; /* what it failed with, written by the child */
    int ends[CHILD_ENDS_MAX];
    char *texts[]; /* its words, its environment, each with a NULL behind it */
};

/* The child until it becomes the program. It shares this process's memory, errno and a sanitizer's
 * too, while this process goes on: it makes system calls, and writes nothing but its birth. */
#if defined(__x86_64__)
static PLAIN long call(long number, long a, long b, long c, long d)
{
    long r;
    register long r10 __asm__("r10") = d;
    __asm__ volatile("syscall"
                     : "=a"(r)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10)
                     : "rcx", "r11", "memory");
    return r;
}
#elif defined(__aarch64__)
static PLAIN long call(long number, long a, long b, long c, long d)
{
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x8 __asm__("x8") = number;
    __asm__ volatile("svc #0" : "+r"(x0) : "r"(x1), "r"(x2), "r"(x3), "r"(x8) : "memory");
    return x0;
}
#else
static long call(long number, long a, long b, long c, long d)
{
    (void)number, (void)a, (void)b, (void)c, (void)d;
    return -ENOSYS; /* there is no clone_it either */
}
#endif

static PLAIN bool step(struct birth *b, long result)
{
    if (result < 0)
        b->code = (int)result;
    return result >= 0;
}

static PLAIN bool set_files(struct birth *b)
{
    const struct child_clone *p = &b->plan;
    for (size_t n = 0; n < p->nends; n++)
        if (p->ends[n] < 0 && p->close_from >= 0 && n > STDERR_FILENO)
            (void)call(SYS_close, (long)n, 0, 0, 0);
        else if (p->ends[n] >= 0 && !step(b, call(SYS_dup3, p->ends[n], (long)n, 0, 0)))
            return false;
    if (p->close_from >= 0) /* what this process opens is closed by exec in any case */
        (void)call(SYS_close_range, p->close_from, UINT_MAX, 0, 0);
    return !p->directory || step(b, call(SYS_chdir, (long)p->directory, 0, 0, 0));
}

/* What this process ignored when it first started a child: to ask each time takes as long as many
 * system calls. A bit each, SIGPIPE in any case. */
static uint64_t ignored = (uint64_t)1 << (SIGPIPE - 1);
static pthread_once_t ignored_once = PTHREAD_ONCE_INIT;

static void read_ignored(void)
{
    uint64_t action[8] = {0}; /* the kernel's; glibc tells nothing of its own signals */
    for (int n = 1; n < _NSIG; n++)
        if (call(SYS_rt_sigaction, n, 0, (long)action, sizeof *action) == 0 &&
            action[0] == (uintptr_t)SIG_IGN)
            ignored |= (uint64_t)1 << (n - 1);
}

/* The kernel has reset what was handled. */
static PLAIN void set_signals(void)
{
    static const uint64_t none, plain[8]; /* the kernel's sigset, its sigaction of SIG_DFL */
    for (int n = 1; n < _NSIG; n++)
        if (ignored >> (n - 1) & 1)
            (void)call(SYS_rt_sigaction, n, (long)plain, 0, sizeof none);
    (void)call(SYS_rt_sigprocmask, SIG_SETMASK, (long)&none, 0, sizeof none);
}

static PLAIN __attribute__((noreturn, used)) void become(void *arg)
{
    struct birth *b = arg;
    const struct child_clone *p = &b->plan;
    if (p->session)
        (void)call(SYS_setsid, 0, 0, 0, 0);
    if (set_files(b)) {
        set_signals();
        (void)step(b, call(SYS_execve, (long)p->file, (long)p->argv, (long)p->envp, 0));
    }
    for (;;)
        (void)call(SYS_exit_group, FAILED, 0, 0, 0);
}

/* clone3, and the child calls become(b) on the stack that *args names; it never comes back here. */
#if defined(__x86_64__)
static PLAIN long clone_it(const struct clone_args *args, size_t size, struct birth *b)
{
    long r;
    __asm__ volatile("syscall\n\t"
                     "testq %%rax, %%rax\n\t"
                     "jnz 1f\n\t"
                     "xorl %%ebp, %%ebp\n\t"
                     "movq %[b], %%rdi\n\t"
                     "call *%[become]\n\t"
                     "ud2\n"
                     "1:"
                     : "=a"(r)
                     : "a"((long)SYS_clone3), "D"(args), "S"(size), [b] "r"(b), [become] "r"(become)
                     : "rcx", "r11", "memory", "cc");
    return r;
}
#elif defined(__aarch64__)
static PLAIN long clone_it(const struct clone_args *args, size_t size, struct birth *b)
{
    register long x0 __asm__("x0") = (long)args;
    register long x1 __asm__("x1") = (long)size;
    register long x8 __asm__("x8") = SYS_clone3;
    __asm__ volatile("svc #0\n\t"
                     "cbnz x0, 1f\n\t"
                     "mov x29, xzr\n\t"
                     "mov x0, %[b]\n\t"
                     "blr %[become]\n\t"
                     "brk #1\n"
                     "1:"
                     : "+r"(x0)
                     : "r"(x1), "r"(x8), [b] "r"(b), [become] "r"(become)
                     : "x30", "memory", "cc");
    return x0;
}
#else
static long clone_it(const struct clone_args *args, size_t size, struct birth *b)
{
    (void)args, (void)size, (void)b, (void)become;
    return -ENOSYS;
}
#endif

static void bury(int pidfd)
{
    siginfo_t i;
    while (waitid(P_PIDFD, (id_t)pidfd, &i, WEXITED) < 0 && errno == EINTR)
        ;
    (void)close(pidfd);
}

bool child_clone_works(void)
{
    return clone_it(NULL, 0, NULL) == -EINVAL; /* there are no arguments of that size */
}

static size_t count(char *const *texts)
{
    size_t n = 1; /* the NULL */
    for (; *texts; texts++)
        n++;
    return n;
}

static struct birth *birth_new(const struct child_clone *c)
{
    size_t words = count(c->argv), variables = count(c->envp), file = strlen(c->file) + 1;
    struct birth *b = malloc(sizeof *b + (words + variables) * sizeof *b->texts + file);
    if (!b)
        return NULL;
    assert(c->nends <= CHILD_ENDS_MAX);
    b->plan = *c;
    b->code = 0;
    b->plan.ends = memcpy(b->ends, c->ends, c->nends * sizeof *b->ends);
    b->plan.argv = memcpy(b->texts, c->argv, words * sizeof *b->texts);
    b->plan.envp = memcpy(b->texts + words, c->envp, variables * sizeof *b->texts);
    b->plan.file = memcpy(b->texts + words + variables, c->file, file);
    return b;
}

struct birth *birth_free(struct birth *b)
{
    free(b);
    return NULL;
}

int birth_code(const struct birth *b)
{
    return b->code;
}

int child_clone(const struct child_clone *c, pid_t *ret_pid, int *ret_pidfd,
                struct birth **ret_birth)
{
    struct birth *b = birth_new(c);
    int pidfd = -1;
    if (!b)
        return -ENOMEM;
    (void)pthread_once(&ignored_once, read_ignored);
    struct clone_args args = {.flags = CLONE_VM | CLONE_PIDFD | CLONE_CLEAR_SIGHAND |
                                       (c->early ? 0 : CLONE_VFORK) |
                                       (c->cgroup ? CLONE_INTO_CGROUP : 0),
                              .pidfd = (uintptr_t)&pidfd,
                              .exit_signal = SIGCHLD,
                              .stack = (uintptr_t)b->stack,
                              .stack_size = sizeof b->stack,
                              .cgroup = (uint64_t)c->cgroup};
    long r = clone_it(&args, sizeof args, b);
    if (r < 0) {
        (void)birth_free(b);
        return r == -EAGAIN || r == -ENOMEM ? (int)r : -ENOSYS;
    }
    int code = c->early ? 0 : b->code;
    if (code) {
        bury(pidfd);
        (void)birth_free(b);
        return code;
    }
    *ret_pid = (pid_t)r;
    *ret_pidfd = pidfd;
    *ret_birth = b;
    return 0;
}
