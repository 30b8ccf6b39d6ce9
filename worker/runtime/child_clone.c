#include "worker/runtime/child_clone.h"

#include <errno.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define STACK ((size_t)16384)
#define FAILED 127

#if defined(__clang__)
#define PLAIN __attribute__((noinline, no_sanitize("address", "thread", "undefined")))
#else
#define PLAIN                                                               \
    __attribute__((noinline, no_sanitize("address"), no_sanitize("thread"), \
                   no_sanitize("undefined")))
#endif

struct birth {
    const struct child_clone *plan;
    volatile int code; /* what it failed with, written by the child */
};

/* The child until it becomes the program. It shares this process's memory, a sanitizer's too: only
 * system calls. */
static PLAIN long step(struct birth *b, long result)
{
    if (result < 0)
        b->code = -errno;
    return result;
}

static PLAIN bool set_files(struct birth *b)
{
    const struct child_clone *p = b->plan;
    for (size_t n = 0; n < p->nends; n++)
        if (p->ends[n] < 0 && p->close_from >= 0 && n > STDERR_FILENO)
            (void)syscall(SYS_close, (int)n);
        else if (p->ends[n] >= 0 && step(b, syscall(SYS_dup3, p->ends[n], (int)n, 0)) < 0)
            return false;
    if (p->close_from >= 0) /* what this process opens is closed by exec in any case */
        (void)syscall(SYS_close_range, (unsigned)p->close_from, ~0u, 0);
    return !p->directory || step(b, syscall(SYS_chdir, p->directory)) == 0;
}

static PLAIN void set_signals(void)
{
    static const uint64_t none, plain[8]; /* the kernel's sigset, its sigaction of SIG_DFL */
    (void)syscall(SYS_rt_sigaction, SIGPIPE, plain, NULL, sizeof none);
    (void)syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, sizeof none);
}

static PLAIN __attribute__((noreturn, used)) void become(void *arg)
{
    struct birth *b = arg;
    const struct child_clone *p = b->plan;
    if (p->session)
        (void)syscall(SYS_setsid);
    if (set_files(b)) {
        set_signals();
        (void)step(b, syscall(SYS_execve, p->file, p->argv, p->envp));
    }
    for (;;)
        (void)syscall(SYS_exit_group, FAILED);
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
    int saved = errno;
    struct birth b = {0};
    bool works = clone_it(NULL, 0, &b) == -EINVAL; /* there are no arguments of that size */
    errno = saved;
    return works;
}

int child_clone(const struct child_clone *c, pid_t *ret_pid, int *ret_pidfd)
{
    _Alignas(16) char stack[STACK];
    struct birth b = {.plan = c};
    int pidfd = -1, saved = errno;
    struct clone_args args = {.flags = CLONE_VM | CLONE_VFORK | CLONE_PIDFD | CLONE_CLEAR_SIGHAND |
                                       CLONE_INTO_CGROUP,
                              .pidfd = (uintptr_t)&pidfd,
                              .exit_signal = SIGCHLD,
                              .stack = (uintptr_t)stack,
                              .stack_size = sizeof stack,
                              .cgroup = (uint64_t)c->cgroup};
    long r = clone_it(&args, sizeof args, &b);
    errno = saved; /* the child has written there */
    if (r < 0)
        return r == -EAGAIN || r == -ENOMEM ? (int)r : -ENOSYS;
    if (b.code) {
        bury(pidfd);
        return b.code;
    }
    *ret_pid = (pid_t)r;
    *ret_pidfd = pidfd;
    return 0;
}
