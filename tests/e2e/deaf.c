#include "tests/e2e/deaf.h"

#include <dirent.h>
#include <errno.h>
#include <linux/filter.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <unistd.h>

static bool is_at(int fd, int (*name)(int, struct sockaddr *, socklen_t *), int port)
{
    struct sockaddr_storage a = {0};
    socklen_t n = sizeof a;
    return name(fd, (struct sockaddr *)&a, &n) == 0 && a.ss_family == AF_INET &&
           ntohs(((struct sockaddr_in *)&a)->sin_port) == port;
}

static int drop(int fd, unsigned percent)
{
    int none = 0;
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_RANDOM)),
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, (uint32_t)(UINT32_MAX / 100.0 * percent), 0, 1),
        BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
        BPF_STMT(BPF_RET | BPF_K, 0),
    };
    struct sock_fprog filter = {.len = sizeof code / sizeof *code, .filter = code};
    int r = percent ? setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter)
                    : setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &none, sizeof none);
    return r && errno != ENOENT ? -errno : 0;
}

/* 1: it is one of them. */
static int drop_at(int pidfd, int number, int port, unsigned percent)
{
    int fd = pidfd_getfd(pidfd, number, 0), r = 0;
    if (fd < 0)
        return errno == EBADF ? 0 : -errno; /* closed meanwhile */
    if (is_at(fd, getsockname, port) || is_at(fd, getpeername, port)) {
        r = drop(fd, percent);
        r = r ? r : 1;
    }
    (void)close(fd);
    return r;
}

static int each_socket(DIR *fds, int pidfd, int port, unsigned percent)
{
    int n = 0;
    for (struct dirent *e; (e = readdir(fds));) {
        int r = *e->d_name == '.' ? 0 : drop_at(pidfd, atoi(e->d_name), port, percent);
        if (r < 0)
            return r;
        n += r;
    }
    return n;
}

int deaf(pid_t pid, int port, unsigned percent)
{
    char path[32];
    int pidfd = pidfd_open(pid, 0), r = -ESRCH;
    if (pidfd < 0)
        return -errno;
    (void)snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    DIR *fds = opendir(path);
    if (fds) {
        r = each_socket(fds, pidfd, port, percent);
        (void)closedir(fds);
    }
    (void)close(pidfd);
    return r;
}

int deaf_cable(int in)
{
    struct ifreq r = {.ifr_name = "lo"};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), error = 0;
    if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &r))
        error = -errno;
    r.ifr_flags = (short)(in ? r.ifr_flags | IFF_UP : r.ifr_flags & ~IFF_UP);
    if (!error && ioctl(fd, SIOCSIFFLAGS, &r))
        error = -errno;
    if (fd >= 0)
        (void)close(fd);
    return error;
}

int deaf_own_network(void)
{
    return unshare(CLONE_NEWNET) ? -errno : deaf_cable(1);
}
