/* shaken.h - what a test does to the clocks, the memory and the system calls of
 * build/tests/e2e/rpopd-shaken, which is the daemon as it is, linked with clocks, allocations and
 * calls of its own (shaken/). The two share a
 * file, named to the daemon by $RPOPD_SHAKEN. Runs on: the test's only thread; the daemon's any.
 * Units: milliseconds where no other is named. */
#ifndef TESTS_E2E_SHAKEN_H
#define TESTS_E2E_SHAKEN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct daemon;

/* The calls that can be made to fail, and what with where nothing else is asked for. The names are
 * the linker's, where files may be large. */
#define SHAKEN_CALLS(X)       \
    X(accept4, EMFILE)        \
    X(child_clone, EAGAIN)    \
    X(connect, EADDRNOTAVAIL) \
    X(epoll_create1, EMFILE)  \
    X(epoll_ctl, ENOMEM)      \
    X(eventfd, EMFILE)        \
    X(flock, ENOLCK)          \
    X(getrandom, EAGAIN)      \
    X(mmap64, ENOMEM)         \
    X(open64, EMFILE)         \
    X(openat64, EMFILE)       \
    X(pidfd_open, EMFILE)     \
    X(pipe2, EMFILE)          \
    X(poll, EINTR)            \
    X(posix_spawnp, EAGAIN)   \
    X(pread64, EIO)           \
    X(pthread_create, EAGAIN) \
    X(pwrite64, ENOSPC)       \
    X(read, EINTR)            \
    X(recv, ECONNRESET)       \
    X(send, EPIPE)            \
    X(sendmsg, ENOBUFS)       \
    X(socket, EMFILE)         \
    X(socketpair, EMFILE)     \
    X(waitid, EINTR)          \
    X(write, ENOMEM)          \
    X(writev, ENOMEM)

#define SHAKEN_NAME(name, error) SHAKEN_##name,
enum shaken_call { SHAKEN_NONE, SHAKEN_CALLS(SHAKEN_NAME) SHAKEN_ANY };

/* All its clocks: real time, and so many nanoseconds, and since then so many times as fast. */
struct shaken_pace {
    int64_t ahead_ns, since_ns; /* of the real CLOCK_MONOTONIC */
    int64_t times;
};

struct shaken {
    struct shaken_pace pace[64];
    _Atomic unsigned now;      /* the pace that holds */
    _Atomic int64_t wall_ms;   /* CLOCK_REALTIME is ahead of the others' pace by this */
    _Atomic int64_t boot_ms;   /* likewise CLOCK_BOOTTIME: it slept */
    _Atomic unsigned one_in;   /* of so many allocations one fails; 0: none */
    _Atomic unsigned failures; /* so many have failed */
    _Atomic int call;          /* an enum shaken_call: that one is counted, or any */
    _Atomic int error;         /* what it fails with; 0: its usual error */
    _Atomic int until;         /* counts down: the one that brings it to 0 fails; below 0: each */
    _Atomic int failed;        /* the last that has failed */
    _Atomic unsigned refusals; /* so many calls have failed */
    _Atomic bool plainly;      /* programs begin by posix_spawn, not in a cgroup */
};

/* Gives what this daemon is shaken by from its next start on; at first by nothing. */
struct shaken *shaken_new(struct daemon *d, const char *folder, const char *name);
struct shaken *shaken_free(struct shaken *k); /* takes; NULL is fine; returns NULL */

/* cmocka fixtures: a durable scene whose daemon is shaken by `shaken`. */
extern struct shaken *shaken;
int scene_new_shaken(void **state);
int scene_free_shaken(void **state);

#define SHAKEN(test) cmocka_unit_test_setup_teardown(test, scene_new_shaken, scene_free_shaken)

/* From now on its time goes so many times as fast; 1: as it does. */
void shaken_pace(struct shaken *k, int64_t times);
int64_t shaken_now_ms(const struct shaken *k); /* its CLOCK_MONOTONIC */

/* Both sides: how far ahead its clocks are when the real one says so. */
static inline int64_t shaken_ahead_ns(const struct shaken *k, int64_t real_ns)
{
    const struct shaken_pace *p = &k->pace[atomic_load(&k->now) % 64];
    return p->ahead_ns + (real_ns - p->since_ns) * (p->times - 1);
}

#endif
