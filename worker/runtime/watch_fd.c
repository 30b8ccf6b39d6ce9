#include "worker/runtime/watch_fd.h"

#include <errno.h>

#include "worker/runtime/fd_table.h"

static int add(struct loop *l, int fd, enum fd_way way, loop_fn fn, void *arg, struct err *e)
{
    struct fd_side *s;
    int saved = errno;
    int r = fd_side_get(l, fd, way, &s, e);
    if (r == 0)
        fd_side_own(s, fn, arg);
    errno = saved;
    return r;
}

static bool take_away(struct loop *l, int fd, enum fd_way way)
{
    struct fd_side *s = fd_side_find(l, fd, way);
    if (!s || !s->fn)
        return false;
    fd_side_release(s);
    return true;
}

int loop_add_reader(struct loop *l, int fd, loop_fn fn, void *arg, struct err *e)
{
    loop_check_thread(l, __func__);
    GIVEN(fn);
    return add(l, fd, FD_READ, fn, arg, e);
}

int loop_add_writer(struct loop *l, int fd, loop_fn fn, void *arg, struct err *e)
{
    loop_check_thread(l, __func__);
    GIVEN(fn);
    return add(l, fd, FD_WRITE, fn, arg, e);
}

bool loop_remove_reader(struct loop *l, int fd)
{
    loop_check_thread(l, __func__);
    return take_away(l, fd, FD_READ);
}

bool loop_remove_writer(struct loop *l, int fd)
{
    loop_check_thread(l, __func__);
    return take_away(l, fd, FD_WRITE);
}
