#include "worker/runtime/child.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "worker/runtime/child_clone.h"

#define STATUS_UNKNOWN 255

static struct {
    pthread_mutex_t lock; /* guards the list */
    struct child *first;
} all = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void make_known(struct child *c)
{
    (void)pthread_mutex_lock(&all.lock);
    c->next = all.first;
    if (all.first)
        all.first->prev = c;
    all.first = c;
    (void)pthread_mutex_unlock(&all.lock);
}

static void forget(struct child *c)
{
    (void)pthread_mutex_lock(&all.lock);
    if (c->next)
        c->next->prev = c->prev;
    if (c->prev)
        c->prev->next = c->next;
    else
        all.first = c->next;
    (void)pthread_mutex_unlock(&all.lock);
}

bool child_is_known(pid_t pid)
{
    (void)pthread_mutex_lock(&all.lock);
    const struct child *c = all.first;
    while (c && c->pid != pid)
        c = c->next;
    (void)pthread_mutex_unlock(&all.lock);
    return c != NULL;
}

void child_kill_all(void)
{
    (void)pthread_mutex_lock(&all.lock);
    for (const struct child *c = all.first; c; c = c->next) {
        (void)kill(-c->pid, SIGKILL);
        (void)kill(c->pid, SIGKILL); /* it is not reaped: the number is its own */
    }
    (void)pthread_mutex_unlock(&all.lock);
}

static int set_attributes(posix_spawnattr_t *a, bool session)
{
    short flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
    sigset_t none, all_signals;
    (void)sigemptyset(&none);
    (void)sigfillset(&all_signals);
    int r = posix_spawnattr_setflags(a, session ? flags | POSIX_SPAWN_SETSID : flags);
    if (r == 0)
        r = posix_spawnattr_setsigmask(a, &none);
    return r ? r : posix_spawnattr_setsigdefault(a, &all_signals);
}

static int begin(struct child *c, pid_t pid, int pidfd, struct birth *birth)
{
    *c = (struct child){.pid = pid, .pidfd = pidfd, .birth = birth};
    make_known(c);
    return 0;
}

/* Nobody else reaps it, so its number stays its own until the pidfd is there. */
static int open_pidfd(struct child *c, pid_t pid)
{
    int fd = pidfd_open(pid, 0);
    if (fd >= 0)
        return begin(c, pid, fd, NULL);
    int code = -errno;
    (void)kill(pid, SIGKILL);
    (void)waitpid(pid, NULL, 0);
    return code;
}

int child_start(struct child *c, const struct child_plan *plan)
{
    char *const *args = (char *const *)(void *)plan->argv;
    char *const *env = plan->envp ? (char *const *)(void *)plan->envp : environ;
    posix_spawnattr_t a;
    pid_t pid;
    (void)posix_spawnattr_init(&a); /* glibc's cannot fail */
    int r = set_attributes(&a, plan->session);
    if (r == 0)
        r = posix_spawnp(&pid, plan->program, plan->files, &a, args, env);
    (void)posix_spawnattr_destroy(&a);
    return r ? -r : open_pidfd(c, pid);
}

int child_start_by_clone(struct child *c, const struct child_clone *plan)
{
    pid_t pid;
    int pidfd;
    struct birth *birth;
    int r = child_clone(plan, &pid, &pidfd, &birth);
    return r < 0 ? r : begin(c, pid, pidfd, birth);
}

static int look(const struct child *c, int flags, siginfo_t *ret_info)
{
    int r;
    *ret_info = (siginfo_t){.si_pid = 0};
    do {
        r = waitid(P_PIDFD, (id_t)c->pidfd, ret_info, WEXITED | flags);
    } while (r < 0 && errno == EINTR);
    return r;
}

bool child_reap(struct child *c, bool block)
{
    siginfo_t i;
    if (c->reaped)
        return true;
    int r = look(c, block ? 0 : WNOHANG, &i);
    if (r == 0 && i.si_pid == 0)
        return false;
    if (r < 0) /* this program ignores SIGCHLD: nobody knows */
        i = (siginfo_t){.si_code = CLD_EXITED, .si_status = STATUS_UNKNOWN};
    c->status = i.si_code == CLD_EXITED ? i.si_status : -i.si_status;
    c->failed = c->birth ? birth_code(c->birth) : 0;
    c->birth = birth_free(c->birth);
    c->reaped = true;
    forget(c);
    return true;
}

bool child_has_ended(const struct child *c)
{
    siginfo_t i;
    return c->reaped || look(c, WNOHANG | WNOWAIT, &i) < 0 || i.si_pid != 0;
}

int child_signal(const struct child *c, int signal)
{
    if (c->reaped)
        return -ESRCH;
    return pidfd_send_signal(c->pidfd, signal, NULL, 0) < 0 ? -errno : 0;
}
