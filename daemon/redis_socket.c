#include "daemon/redis_socket.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#define IDLE_S 2
#define PROBE_S 1
#define PROBES 3
#define USER_TIMEOUT_MS 5000

const char *redis_socket_text(const struct sockaddr *addr, socklen_t len,
                              char out[REDIS_SOCKET_TEXT_MAX])
{
    char host[80], port[8];
    if (addr->sa_family == AF_UNIX) {
        const struct sockaddr_un *un = (const struct sockaddr_un *)addr;
        (void)snprintf(out, REDIS_SOCKET_TEXT_MAX, "%s", un->sun_path);
    } else if (getnameinfo(addr, len, host, sizeof host, port, sizeof port,
                           NI_NUMERICHOST | NI_NUMERICSERV)) {
        (void)snprintf(out, REDIS_SOCKET_TEXT_MAX, "address family %d", addr->sa_family);
    } else {
        (void)snprintf(out, REDIS_SOCKET_TEXT_MAX,
                       addr->sa_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
    }
    return out;
}

static int failed(int error, const struct sockaddr *addr, socklen_t len, struct err *e)
{
    char text[REDIS_SOCKET_TEXT_MAX];
    return err_set(e, -error, "connect %s: %s", redis_socket_text(addr, len, text),
                   strerrordesc_np(error));
}

static int set_options(int fd)
{
    static const struct {
        int level, name, value;
    } options[] = {
        {IPPROTO_TCP, TCP_NODELAY, 1},       {SOL_SOCKET, SO_KEEPALIVE, 1},
        {IPPROTO_TCP, TCP_KEEPIDLE, IDLE_S}, {IPPROTO_TCP, TCP_KEEPINTVL, PROBE_S},
        {IPPROTO_TCP, TCP_KEEPCNT, PROBES},  {IPPROTO_TCP, TCP_USER_TIMEOUT, USER_TIMEOUT_MS},
    };
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++)
        if (setsockopt(fd, options[i].level, options[i].name, &options[i].value,
                       sizeof options[i].value))
            return -errno;
    return 0;
}

int redis_socket_open(const struct sockaddr *addr, socklen_t len, struct err *e)
{
    int fd = socket(addr->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return failed(errno, addr, len, e);
    int error = addr->sa_family == AF_UNIX ? 0 : -set_options(fd);
    if (!error && connect(fd, addr, len) && errno != EINPROGRESS)
        error = errno; /* EAGAIN of a unix socket: its backlog is full */
    if (!error)
        return fd;
    (void)close(fd);
    return failed(error, addr, len, e);
}

/* On loopback, a port that nobody listens on and that the kernel hands out for the connection
 * itself. */
static int connected_to_itself(int fd)
{
    struct sockaddr_storage here = {0}, there = {0};
    socklen_t n = sizeof here, m = sizeof there;
    if (getsockname(fd, (struct sockaddr *)&here, &n) ||
        getpeername(fd, (struct sockaddr *)&there, &m))
        return 0;
    return here.ss_family != AF_UNIX && n == m && memcmp(&here, &there, n) == 0;
}

int redis_socket_opened(int fd, const struct sockaddr *addr, socklen_t len, struct err *e)
{
    int error = 0;
    socklen_t n = sizeof error;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &n))
        error = errno;
    if (!error && connected_to_itself(fd))
        error = ECONNREFUSED;
    return error ? failed(error, addr, len, e) : 0;
}
