#include "worker/runtime/child.h"

#include <errno.h>
#include <signal.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define STATUS_UNKNOWN 255

static int set_attributes(posix_spawnattr_t *a)
{
    sigset_t none, pipe;
    (void)sigemptyset(&none);
    (void)sigemptyset(&pipe);
    (void)sigaddset(&pipe, SIGPIPE);
    int r = posix_spawnattr_setflags(a, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    if (r == 0)
        r = posix_spawnattr_setsigmask(a, &none);
    return r ? r : posix_spawnattr_setsigdefault(a, &pipe);
}

/* Nobody else reaps it, so its number stays its own until the pidfd is there. */
static int open_pidfd(struct child *c, pid_t pid)
{
    int fd = pidfd_open(pid, 0);
    if (fd >= 0) {
        *c = (struct child){.pid = pid, .pidfd = fd};
        return 0;
    }
    int code = -errno;
    (void)kill(pid, SIGKILL);
    (void)waitpid(pid, NULL, 0);
    return code;
}

int child_start(struct child *c, const char *program, const char *const argv[],
                const char *const envp[], const posix_spawn_file_actions_t *files)
{
    char *const *args = (char *const *)(void *)argv;
    char *const *env = envp ? (char *const *)(void *)envp : environ;
    posix_spawnattr_t a;
    pid_t pid;
    (void)posix_spawnattr_init(&a); /* glibc's cannot fail */
    int r = set_attributes(&a);
    if (r == 0)
        r = posix_spawnp(&pid, program, files, &a, args, env);
    (void)posix_spawnattr_destroy(&a);
    return r ? -r : open_pidfd(c, pid);
}

bool child_reap(struct child *c, bool block)
{
    siginfo_t i = {.si_pid = 0};
    if (c->reaped)
        return true;
    int r;
    do {
        r = waitid(P_PIDFD, (id_t)c->pidfd, &i, WEXITED | (block ? 0 : WNOHANG));
    } while (r < 0 && errno == EINTR);
    if (r == 0 && i.si_pid == 0)
        return false;
    if (r < 0) /* this program ignores SIGCHLD: nobody knows */
        i = (siginfo_t){.si_code = CLD_EXITED, .si_status = STATUS_UNKNOWN};
    c->status = i.si_code == CLD_EXITED ? i.si_status : -i.si_status;
    c->reaped = true;
    return true;
}

int child_signal(const struct child *c, int signal)
{
    if (c->reaped)
        return -ESRCH;
    return pidfd_send_signal(c->pidfd, signal, NULL, 0) < 0 ? -errno : 0;
}
