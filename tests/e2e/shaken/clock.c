/* The clocks of rpopd-shaken, and the one wait that is told a time. They take the place of libc's
 * for everything in the process. */
#include "tests/e2e/shaken.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "tests/e2e/shaken/shaken_by.h"

static struct shaken still = {.pace[0].times = 1};
static struct shaken *by = &still;

struct shaken *shaken_by(void)
{
    return by;
}

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("RPOPD_SHAKEN");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    void *p = mmap(NULL, sizeof *by, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    (void)close(fd);
    if (p != MAP_FAILED)
        by = p;
}

static int64_t real_ns(clockid_t id, struct timespec *t)
{
    (void)syscall(SYS_clock_gettime, id, t);
    return (int64_t)t->tv_sec * 1000000000 + t->tv_nsec;
}

int clock_gettime(clockid_t id, struct timespec *t)
{
    int64_t ns = real_ns(id, t);
    struct timespec m;
    if (id == CLOCK_PROCESS_CPUTIME_ID || id == CLOCK_THREAD_CPUTIME_ID)
        return 0;
    ns += shaken_ahead_ns(by, real_ns(CLOCK_MONOTONIC, &m));
    if (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)
        ns += atomic_load(&by->wall_ms) * 1000000;
    if (id == CLOCK_BOOTTIME)
        ns += atomic_load(&by->boot_ms) * 1000000;
    t->tv_sec = ns / 1000000000;
    t->tv_nsec = ns % 1000000000;
    return 0;
}

time_t time(time_t *out)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_REALTIME, &t);
    if (out)
        *out = t.tv_sec;
    return t.tv_sec;
}

int epoll_wait(int fd, struct epoll_event *events, int n, int timeout)
{
    int64_t times = by->pace[atomic_load(&by->now) % 64].times;
    if (timeout > 0)
        timeout = (int)((timeout + times - 1) / times);
    return epoll_pwait(fd, events, n, timeout, NULL);
}
