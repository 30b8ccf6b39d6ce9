/* The system calls of rpopd-shaken: one fails, or each of a kind does, where the test asks for it.
 * Those that libev makes are taken in the place of libc's for everything in the process; the others
 * are the project's alone. */
#include "tests/e2e/shaken/shaken_by.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "worker/runtime/child_clone.h"

#define USUAL(name, error) [SHAKEN_##name] = (error),
static const int usual[] = {SHAKEN_CALLS(USUAL)};

/* 0: it goes on; else what it fails with. */
static int fails(enum shaken_call c)
{
    struct shaken *k = shaken_by();
    int wanted = atomic_load(&k->call), error = atomic_load(&k->error);
    if ((wanted != (int)c && wanted != SHAKEN_ANY) || atomic_load(&k->until) == 0)
        return 0;
    if (atomic_load(&k->until) > 0 && atomic_fetch_sub(&k->until, 1) != 1)
        return 0;
    atomic_store(&k->failed, (int)c);
    atomic_fetch_add(&k->refusals, 1);
    return error ? error : usual[c];
}

static bool refused(enum shaken_call c)
{
    int error = fails(c);
    if (error)
        errno = error;
    return error;
}

#define CALL(type, bad, name, parameters, arguments)                           \
    type __real_##name parameters;                                             \
    type __wrap_##name parameters;                                             \
    type __wrap_##name parameters                                              \
    {                                                                          \
        return refused(SHAKEN_##name) ? (type)(bad) : __real_##name arguments; \
    }

CALL(int, -1, accept4, (int fd, struct sockaddr *a, socklen_t *n, int flags), (fd, a, n, flags))
CALL(int, -1, connect, (int fd, const struct sockaddr *a, socklen_t n), (fd, a, n))
CALL(int, -1, flock, (int fd, int how), (fd, how))
CALL(ssize_t, -1, getrandom, (void *to, size_t n, unsigned flags), (to, n, flags))
CALL(void *, MAP_FAILED, mmap64, (void *at, size_t n, int prot, int flags, int fd, off_t from),
     (at, n, prot, flags, fd, from))
CALL(int, -1, pidfd_open, (pid_t pid, unsigned flags), (pid, flags))
CALL(int, -1, pipe2, (int ends[2], int flags), (ends, flags))
CALL(int, -1, poll, (struct pollfd * fds, nfds_t n, int ms), (fds, n, ms))
CALL(ssize_t, -1, pread64, (int fd, void *to, size_t n, off_t from), (fd, to, n, from))
CALL(ssize_t, -1, pwrite64, (int fd, const void *from, size_t n, off_t to), (fd, from, n, to))
CALL(ssize_t, -1, read, (int fd, void *to, size_t n), (fd, to, n))
CALL(ssize_t, -1, recv, (int fd, void *to, size_t n, int flags), (fd, to, n, flags))
CALL(ssize_t, -1, send, (int fd, const void *from, size_t n, int flags), (fd, from, n, flags))
CALL(ssize_t, -1, sendmsg, (int fd, const struct msghdr *m, int flags), (fd, m, flags))
CALL(int, -1, socket, (int family, int type, int protocol), (family, type, protocol))
CALL(int, -1, socketpair, (int family, int type, int protocol, int ends[2]),
     (family, type, protocol, ends))
CALL(int, -1, waitid, (idtype_t type, id_t id, siginfo_t *i, int flags), (type, id, i, flags))
CALL(ssize_t, -1, write, (int fd, const void *from, size_t n), (fd, from, n))
CALL(ssize_t, -1, writev, (int fd, const struct iovec *from, int n), (fd, from, n))

/* These two say what is wrong by what they return. */
#define CODED(name, parameters, arguments)              \
    int __real_##name parameters;                       \
    int __wrap_##name parameters;                       \
    int __wrap_##name parameters                        \
    {                                                   \
        int error = fails(SHAKEN_##name);               \
        return error ? error : __real_##name arguments; \
    }

CODED(posix_spawnp,
      (pid_t * pid, const char *file, const posix_spawn_file_actions_t *f,
       const posix_spawnattr_t *a, char *const argv[], char *const envp[]),
      (pid, file, f, a, argv, envp))
CODED(pthread_create, (pthread_t * id, const pthread_attr_t *a, void *(*fn)(void *), void *arg),
      (id, a, fn, arg))

int __real_open64(const char *path, int flags, mode_t mode);
int __wrap_open64(const char *path, int flags, mode_t mode);
int __wrap_open64(const char *path, int flags, mode_t mode)
{
    return refused(SHAKEN_open64) ? -1 : __real_open64(path, flags, flags & O_CREAT ? mode : 0);
}

int __real_openat64(int dir, const char *path, int flags, mode_t mode);
int __wrap_openat64(int dir, const char *path, int flags, mode_t mode);
int __wrap_openat64(int dir, const char *path, int flags, mode_t mode)
{
    return refused(SHAKEN_openat64) ? -1
                                    : __real_openat64(dir, path, flags, flags & O_CREAT ? mode : 0);
}

/* Which says it by a negative one. */
int __real_child_clone(const struct child_clone *c, pid_t *pid, int *pidfd, struct birth **birth);
int __wrap_child_clone(const struct child_clone *c, pid_t *pid, int *pidfd, struct birth **birth);
int __wrap_child_clone(const struct child_clone *c, pid_t *pid, int *pidfd, struct birth **birth)
{
    int error = fails(SHAKEN_child_clone);
    return error ? -error : __real_child_clone(c, pid, pidfd, birth);
}

bool __real_child_clone_works(void);
bool __wrap_child_clone_works(void);
bool __wrap_child_clone_works(void)
{
    return !atomic_load(&shaken_by()->plainly) && __real_child_clone_works();
}

int epoll_create1(int flags)
{
    return refused(SHAKEN_epoll_create1) ? -1 : (int)syscall(SYS_epoll_create1, flags);
}

/* Only what is new to the kernel takes memory of it. */
int epoll_ctl(int fd, int op, int other, struct epoll_event *event)
{
    int r = (int)syscall(SYS_epoll_ctl, fd, op, other, event), error;
    if (r == 0 && op == EPOLL_CTL_ADD && (error = fails(SHAKEN_epoll_ctl))) {
        (void)syscall(SYS_epoll_ctl, fd, EPOLL_CTL_DEL, other, NULL);
        errno = error;
        r = -1;
    }
    return r;
}

int eventfd(unsigned n, int flags)
{
    return refused(SHAKEN_eventfd) ? -1 : (int)syscall(SYS_eventfd2, n, flags);
}
