/* pidfd.c - what valgrind 3.19 does not know, by other means: for build/conformance-memcheck, which
 * is linked with -Wl,--wrap= each of the functions below. A pidfd is a pipe's end whose other one a
 * thread closes when the child has ended; /proc/self/exe, which is valgrind itself for a child, is
 * replaced by its target. Runs on: any thread. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define FDS 1024

static _Atomic pid_t child_of[FDS]; /* by descriptor */

struct end {
    pid_t pid;
    int fd; /* closed when it has ended */
};

int __real_waitid(idtype_t type, id_t id, siginfo_t *info, int options);
int __wrap_waitid(idtype_t type, id_t id, siginfo_t *info, int options);
int __wrap_pidfd_open(pid_t pid, unsigned flags);
int __wrap_pidfd_send_signal(int fd, int number, siginfo_t *info, unsigned flags);
int __real_posix_spawnp(pid_t *pid, const char *file, const posix_spawn_file_actions_t *files,
                        const posix_spawnattr_t *attr, char *const argv[], char *const env[]);
int __wrap_posix_spawnp(pid_t *pid, const char *file, const posix_spawn_file_actions_t *files,
                        const posix_spawnattr_t *attr, char *const argv[], char *const env[]);

static void *await_end(void *arg)
{
    struct end *e = arg;
    siginfo_t i;
    while (__real_waitid(P_PID, (id_t)e->pid, &i, WEXITED | WNOWAIT) < 0 && errno == EINTR)
        ;
    (void)close(e->fd);
    free(e);
    return NULL;
}

int __wrap_pidfd_open(pid_t pid, unsigned flags)
{
    int ends[2];
    pthread_t thread;
    (void)flags;
    struct end *e = malloc(sizeof *e);
    if (!e || pipe2(ends, O_CLOEXEC) < 0) {
        free(e);
        return -1;
    }
    *e = (struct end){pid, ends[1]};
    child_of[ends[0]] = pid;
    if (ends[0] >= FDS || pthread_create(&thread, NULL, await_end, e) != 0)
        abort();
    (void)pthread_detach(thread);
    return ends[0];
}

int __wrap_waitid(idtype_t type, id_t id, siginfo_t *info, int options)
{
    if (type == P_PIDFD)
        return __real_waitid(P_PID, (id_t)child_of[id], info, options);
    return __real_waitid(type, id, info, options);
}

int __wrap_pidfd_send_signal(int fd, int number, siginfo_t *info, unsigned flags)
{
    (void)info, (void)flags;
    return kill(child_of[fd], number);
}

int __wrap_posix_spawnp(pid_t *pid, const char *file, const posix_spawn_file_actions_t *files,
                        const posix_spawnattr_t *attr, char *const argv[], char *const env[])
{
    char self[PATH_MAX];
    if (strcmp(file, "/proc/self/exe") == 0 && realpath(file, self))
        file = self;
    return __real_posix_spawnp(pid, file, files, attr, argv, env);
}
