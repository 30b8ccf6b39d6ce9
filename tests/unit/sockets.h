/* sockets.h - what the tests of descriptors share: pairs of sockets, deadlines. Include once,
 * before all others: it brings cmocka. Runs on: the loop's thread. */
#ifndef TESTS_UNIT_SOCKETS_H
#define TESTS_UNIT_SOCKETS_H

#include "tests/unit/combine.h"

#include <sys/socket.h>
#include <unistd.h>

#include "worker/runtime/io.h"

#define NO_LIMIT (-1)
#define SHORT_MS 3

static UNUSED int64_t in_ms(int64_t ms)
{
    return loop_time_ms(loop_running()) + ms;
}

/* Two connected sockets; both ends are non-blocking. */
static UNUSED int open_pair(int ends[2])
{
    return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends);
}

static UNUSED void close_pair(const int ends[2])
{
    io_close(loop_running(), ends[0]);
    io_close(loop_running(), ends[1]);
}

static UNUSED ssize_t put(int fd, const char *text)
{
    return write(fd, text, strlen(text));
}

/* Awaits t and drops it. */
static UNUSED int end_of(struct task *t)
{
    int r = task_await(t, NULL, NULL);
    task_unref(t);
    return r;
}

#endif
