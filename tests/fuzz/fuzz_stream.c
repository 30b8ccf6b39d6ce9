/* What a peer sends, in pieces, through a stream's buffer. The input is: a limit, how many calls
 * follow, a seed for the pieces, the calls, and then what is sent. Each call is compared with what
 * it comes to over all that is sent at once: the pieces must not matter. */
#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "worker/runtime/stream.h"
#include "worker/runtime/task.h"

#define CALLS_MAX 32
#define HEAD 3 /* bytes before the calls */

struct play {
    const uint8_t *calls;
    const char *sent;
    size_t n, len, at, limit; /* calls; bytes sent; bytes taken; the stream's limit */
    uint32_t seed;
    int fd; /* the peer's */
};

static const char *const ends[] = {"\n", "\r\n", "aab", "aaaa", "", "ab\r\nab"};

static size_t next_piece(struct play *p)
{
    p->seed = p->seed * 1103515245 + 12345;
    return 1 + (p->seed >> 16) % 97;
}

static int feed(void *arg, void **ret_result, struct err *e)
{
    struct play *p = arg;
    (void)ret_result, (void)e;
    for (size_t at = 0, n; at < p->len; at += n) {
        n = next_piece(p);
        n = n < p->len - at ? n : p->len - at;
        assert(write(p->fd, p->sent + at, n) == (ssize_t)n);
        if (p->seed & 0x4000)
            (void)task_sleep(0);
    }
    (void)close(p->fd);
    return 0;
}

static void check_taken(struct play *p, const char *data, size_t len)
{
    assert(len <= p->len - p->at);
    assert(len == 0 || memcmp(data, p->sent + p->at, len) == 0);
    p->at += len;
}

static void read_some(struct play *p, struct stream *s, size_t room)
{
    char to[256];
    ssize_t n = stream_read(s, to, room, -1, NULL);
    assert(n >= 0 && (size_t)n <= room);
    assert(n > 0 || room == 0 || p->at == p->len);
    check_taken(p, to, (size_t)n);
}

static void read_exactly(struct play *p, struct stream *s, size_t len)
{
    char to[256];
    struct err e = {.code = 0};
    int expected = len > p->limit ? -EMSGSIZE : len > p->len - p->at ? -ENODATA : 0;
    assert(stream_read_exactly(s, to, len, -1, &e) == expected);
    assert(e.code == expected);
    if (expected == 0)
        check_taken(p, to, len);
}

static int expected_until(const struct play *p, const char *end, size_t *ret_len)
{
    size_t left = p->len - p->at, end_len = strlen(end);
    if (end_len == 0)
        return -EINVAL;
    size_t seen = left < p->limit ? left : p->limit;
    const char *begin = p->sent + p->at, *found = memmem(begin, seen, end, end_len);
    if (!found)
        return left >= p->limit ? -EMSGSIZE : -ENODATA;
    *ret_len = (size_t)(found - begin) + end_len;
    return 0;
}

static void read_until(struct play *p, struct stream *s, const char *end)
{
    const char *data = NULL;
    size_t len = 0, expected_len = 0;
    int expected = expected_until(p, end, &expected_len);
    assert(stream_read_until(s, end, &data, &len, -1, NULL) == expected);
    assert(len == expected_len);
    if (expected == 0)
        check_taken(p, data, len);
}

static void make_call(struct play *p, struct stream *s, uint8_t call)
{
    switch (call % 3) {
    case 0:
        read_some(p, s, call);
        break;
    case 1:
        read_exactly(p, s, call);
        break;
    default:
        read_until(p, s, ends[call / 3 % (sizeof ends / sizeof ends[0])]);
    }
}

static int play(void *arg, void **ret_result, struct err *e)
{
    struct play *p = arg;
    int fds[2];
    assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
    p->fd = fds[1];
    struct stream *s = stream_new(fds[0], p->limit);
    struct task *feeder = task_create(feed, p, NULL);
    assert(s && feeder);
    for (size_t i = 0; i < p->n; i++)
        make_call(p, s, p->calls[i]);
    while (p->at < p->len)
        read_some(p, s, 251);
    read_some(p, s, 1); /* the end */
    int r = task_await(feeder, ret_result, e);
    task_unref(feeder);
    stream_free(s);
    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *in, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *in, size_t len)
{
    static struct loop *loop;
    if (len < HEAD)
        return 0;
    if (!loop)
        loop = loop_new(0);
    struct play p = {.limit = 1 + in[0], .n = in[1] % CALLS_MAX, .seed = in[2], .calls = in + HEAD};
    if (p.n > len - HEAD)
        p.n = len - HEAD;
    p.sent = (const char *)in + HEAD + p.n;
    p.len = len - HEAD - p.n;
    assert(loop_run_coroutine(loop, play, &p, NULL, NULL) == 0);
    return 0;
}
