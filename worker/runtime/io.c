#include "worker/runtime/io.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "worker/runtime/fd_table.h"

#define RETRY_FIRST_MS 1 /* between two tries to connect to a full backlog */
#define RETRY_MAX_MS 32

static void on_deadline(void *side)
{
    struct fd_side *s = side;
    if (s->waiter)
        fd_side_complete(s, -ETIMEDOUT);
}

/* The side of fd, lent to f (takes f). */
static int borrow(struct loop *l, int fd, enum fd_way way, int64_t deadline_ms, struct future *f,
                  struct fd_side **ret_side, struct err *e)
{
    struct handle *alarm = NULL;
    int r = fd_side_get(l, fd, way, ret_side, e);
    if (r == 0 && (*ret_side)->fn)
        r = err_set(e, ERROR_RUNTIME, "file descriptor %d has a callback already", fd);
    if (r == 0 && deadline_ms >= 0) {
        alarm = loop_call_at(l, deadline_ms, on_deadline, *ret_side);
        if (!alarm)
            r = error_set(e, -errno);
    }
    if (r < 0) {
        future_unref(f);
        return r;
    }
    fd_side_lend(*ret_side, f);
    (*ret_side)->alarm = alarm ? handle_ref(alarm) : NULL;
    return 0;
}

static int wait_for_side(int fd, enum fd_way way, int64_t deadline_ms, struct err *e)
{
    struct task *t = task_here();
    struct fd_side *s;
    void *code = NULL;
    if (!t)
        return error_set(e, ERROR_NO_TASK);
    struct loop *l = t->future.loop;
    struct future *f = loop_create_future(l);
    if (!f)
        return error_set(e, -ENOMEM);
    int r = borrow(l, fd, way, deadline_ms, f, &s, e);
    if (r < 0)
        return r;
    unsigned closed = s->closed;
    r = future_await(f, &code, e);
    if (s->waiter == f) /* cancelled; f cannot be another one yet, the await held it until now */
        fd_side_release(s);
    if (r == 0 && !code && s->closed != closed) /* ready, then closed before this task went on */
        code = (void *)(intptr_t)-EBADF;
    if (r == 0 && code)
        r = error_set(e, (int)(intptr_t)code);
    return r;
}

static int wait_saving(int fd, enum fd_way way, int64_t deadline_ms, struct err *e)
{
    int saved = errno; /* other tasks run meanwhile */
    int r = wait_for_side(fd, way, deadline_ms, e);
    errno = saved;
    return r;
}

int io_wait_readable(int fd, int64_t deadline_ms, struct err *e)
{
    return wait_saving(fd, FD_READ, deadline_ms, e);
}

int io_wait_writable(int fd, int64_t deadline_ms, struct err *e)
{
    return wait_saving(fd, FD_WRITE, deadline_ms, e);
}

/* One read(2) that found the pipe empty after all would keep the whole loop. */
static int check_nonblocking(int fd, struct err *e)
{
    int flags = fcntl(fd, F_GETFL); /* NOLINT: takes no third argument */
    if (flags < 0)
        return err_set(e, -EBADF, "file descriptor %d is not open", fd);
    if (!(flags & O_NONBLOCK))
        return err_set(e, -EINVAL, "file descriptor %d must be non-blocking", fd);
    return 0;
}

struct transfer {
    int fd;
    enum fd_way way;
    void *to;
    const void *from;
    size_t len;
};

static ssize_t attempt(const struct transfer *x)
{
    if (x->way == FD_READ)
        return read(x->fd, x->to, x->len);
    ssize_t n = send(x->fd, x->from, x->len, MSG_NOSIGNAL);
    return n < 0 && errno == ENOTSOCK ? write(x->fd, x->from, x->len) : n;
}

static ssize_t transfer(const struct transfer *x, int64_t deadline_ms, struct err *e)
{
    int r = task_here() ? check_nonblocking(x->fd, e) : error_set(e, ERROR_NO_TASK);
    while (r == 0) {
        ssize_t n = attempt(x);
        if (n >= 0)
            return n;
        if (errno == EAGAIN)
            r = wait_for_side(x->fd, x->way, deadline_ms, e);
        else if (errno != EINTR)
            r = error_set(e, -errno);
    }
    return r;
}

ssize_t io_read(int fd, void *buf, size_t room, int64_t deadline_ms, struct err *e)
{
    struct transfer x = {.fd = fd, .way = FD_READ, .to = buf, .len = room};
    int saved = errno;
    ssize_t n = transfer(&x, deadline_ms, e);
    errno = saved;
    return n;
}

ssize_t io_write(int fd, const void *data, size_t len, int64_t deadline_ms, struct err *e)
{
    struct transfer x = {.fd = fd, .way = FD_WRITE, .from = data, .len = len};
    int saved = errno;
    ssize_t n = transfer(&x, deadline_ms, e);
    errno = saved;
    return n;
}

/* The backlog of a unix socket is full: nothing tells when that ends. */
static int pause_before_retry(int64_t *pause_ms, int64_t deadline_ms, struct err *e)
{
    int64_t until_ms = loop_time_ms(loop_running()) + *pause_ms;
    if (deadline_ms >= 0 && deadline_ms < until_ms - *pause_ms)
        return error_set(e, -ETIMEDOUT);
    if (*pause_ms < RETRY_MAX_MS)
        *pause_ms *= 2;
    int r =
        task_sleep_until(deadline_ms >= 0 && deadline_ms < until_ms ? deadline_ms + 1 : until_ms);
    return r < 0 ? error_set(e, r) : 0;
}

/* What came of a connection under way. */
static int finish_connect(int fd, int64_t deadline_ms, struct err *e)
{
    int code = 0;
    socklen_t room = sizeof code;
    int r = wait_for_side(fd, FD_WRITE, deadline_ms, e);
    if (r < 0)
        return r;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &room) < 0)
        code = errno;
    return code ? error_set(e, -code) : 0;
}

static int connect_now(int fd, const struct sockaddr *addr, socklen_t len, int64_t deadline_ms,
                       struct err *e)
{
    int64_t pause_ms = RETRY_FIRST_MS;
    int r = task_here() ? check_nonblocking(fd, e) : error_set(e, ERROR_NO_TASK);
    while (r == 0) {
        if (connect(fd, addr, len) == 0)
            return 0;
        if (errno == EINPROGRESS || errno == EINTR)
            return finish_connect(fd, deadline_ms, e);
        if (errno != EAGAIN || addr->sa_family != AF_UNIX)
            return error_set(e, -errno);
        r = pause_before_retry(&pause_ms, deadline_ms, e);
    }
    return r;
}

int io_connect(int fd, const struct sockaddr *addr, socklen_t len, int64_t deadline_ms,
               struct err *e)
{
    int saved = errno;
    int r = connect_now(fd, addr, len, deadline_ms, e);
    errno = saved;
    return r;
}

static void let_go(struct fd_side *s)
{
    if (!s)
        return;
    s->closed++;
    if (s->waiter)
        fd_side_complete(s, -EBADF);
    else
        fd_side_release(s);
}

void io_close(struct loop *l, int fd)
{
    int saved = errno;
    if (fd < 0)
        return;
    loop_check_thread(l, __func__);
    let_go(fd_side_find(l, fd, FD_READ));
    let_go(fd_side_find(l, fd, FD_WRITE));
    (void)close(fd);
    errno = saved;
}
