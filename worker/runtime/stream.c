#include "worker/runtime/stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "worker/runtime/internal.h"
#include "worker/runtime/io.h"

#define DEFAULT_LIMIT ((size_t)64 << 10)
#define FIRST_ROOM ((size_t)4096)

struct stream {
    struct loop *loop; /* shared */
    int fd;
    char *buf; /* what came and was not taken yet: from `head`, `len` bytes */
    size_t head, len, room, limit;
    bool reading, writing; /* a task is in there */
    bool freed;            /* whoever leaves last takes it along */
};

struct stream *stream_new(int fd, size_t limit)
{
    struct loop *l = loop_running();
    struct stream *s = l ? calloc(1, sizeof *s) : NULL;
    if (!s)
        return NULL;
    s->loop = loop_ref(l);
    s->fd = fd;
    s->limit = limit ? limit : DEFAULT_LIMIT;
    return s;
}

static void end_when_left(struct stream *s)
{
    if (!s->freed || s->reading || s->writing)
        return;
    loop_unref(s->loop);
    free(s->buf);
    free(s);
}

static void end_reading(struct stream *s)
{
    s->reading = false;
    end_when_left(s);
}

struct stream *stream_free(struct stream *s)
{
    if (!s)
        return NULL;
    loop_check_thread(s->loop, __func__);
    io_close(s->loop, s->fd);
    s->fd = -1;
    s->freed = true;
    if (loop_is_closed(s->loop))
        s->reading = s->writing = false; /* who was in there never goes on */
    end_when_left(s);
    return NULL;
}

int stream_fd(const struct stream *s)
{
    GIVEN(s);
    return s->fd;
}

static int begin_reading(struct stream *s, struct err *e)
{
    if (s->reading)
        return err_set(e, ERROR_RUNTIME,
                       "a read was called while another task is already waiting for data");
    s->reading = true;
    return 0;
}

static void consume(struct stream *s, size_t n)
{
    s->head += n;
    s->len -= n;
}

static int grow(struct stream *s)
{
    size_t room = s->room ? s->room * 2 : FIRST_ROOM;
    if (room > s->limit)
        room = s->limit;
    char *buf = realloc(s->buf, room);
    if (!buf)
        return -ENOMEM;
    s->buf = buf;
    s->room = room;
    return 0;
}

/* Awaits more for the buffer; it is not full up to the limit. 1; 0: end of file. */
static int fill(struct stream *s, int64_t deadline_ms, struct err *e)
{
    if (s->head > 0) {
        memmove(s->buf, s->buf + s->head, s->len);
        s->head = 0;
    }
    if (s->len == s->room && grow(s) < 0)
        return error_set(e, -ENOMEM);
    ssize_t n = io_read(s->fd, s->buf + s->len, s->room - s->len, deadline_ms, e);
    if (n > 0)
        s->len += (size_t)n;
    return n > 0 ? 1 : (int)n;
}

static int closed_early(const struct stream *s, struct err *e)
{
    return err_set(e, -ENODATA, "the peer closed after %zu bytes of what was expected", s->len);
}

static size_t take(struct stream *s, void *to, size_t room)
{
    size_t n = s->len < room ? s->len : room;
    if (n > 0)
        memcpy(to, s->buf + s->head, n);
    consume(s, n);
    return n;
}

ssize_t stream_read(struct stream *s, void *to, size_t room, int64_t deadline_ms, struct err *e)
{
    GIVEN(s);
    if (room)
        GIVEN(to);
    loop_check_thread(s->loop, __func__);
    int r = begin_reading(s, e);
    if (r < 0)
        return r;
    ssize_t n = s->len > 0 ? (ssize_t)take(s, to, room) : io_read(s->fd, to, room, deadline_ms, e);
    end_reading(s);
    return n;
}

static int gather_exactly(struct stream *s, size_t len, int64_t deadline_ms, struct err *e)
{
    if (len > s->limit)
        return err_set(e, -EMSGSIZE, "%zu bytes are more than the stream's limit of %zu", len,
                       s->limit);
    while (s->len < len) {
        int r = fill(s, deadline_ms, e);
        if (r <= 0)
            return r < 0 ? r : closed_early(s, e);
    }
    return 0;
}

int stream_read_exactly(struct stream *s, void *to, size_t len, int64_t deadline_ms, struct err *e)
{
    GIVEN(s);
    if (len)
        GIVEN(to);
    loop_check_thread(s->loop, __func__);
    int r = begin_reading(s, e);
    if (r < 0)
        return r;
    r = gather_exactly(s, len, deadline_ms, e);
    if (r == 0)
        (void)take(s, to, len);
    end_reading(s);
    return r;
}

/* How many bytes there are up to and with the end; 0: it is not in there. */
static size_t find_end(const struct stream *s, size_t from, const char *end, size_t end_len)
{
    if (s->len < from + end_len)
        return 0;
    const char *begin = s->buf + s->head, *at = memmem(begin + from, s->len - from, end, end_len);
    return at ? (size_t)(at - begin) + end_len : 0;
}

static int gather_until(struct stream *s, const char *end, size_t *ret_len, int64_t deadline_ms,
                        struct err *e)
{
    size_t end_len = strlen(end), searched = 0;
    if (end_len == 0)
        return err_set(e, -EINVAL, "the end to read until must not be empty");
    for (;;) {
        *ret_len = find_end(s, searched, end, end_len);
        if (*ret_len > 0)
            return 0;
        if (s->len >= s->limit)
            return err_set(e, -EMSGSIZE, "no end within the stream's limit of %zu bytes", s->limit);
        searched = s->len < end_len ? 0 : s->len - end_len + 1;
        int r = fill(s, deadline_ms, e);
        if (r <= 0)
            return r < 0 ? r : closed_early(s, e);
    }
}

int stream_read_until(struct stream *s, const char *end, const char **ret_data, size_t *ret_len,
                      int64_t deadline_ms, struct err *e)
{
    GIVEN(s);
    loop_check_thread(s->loop, __func__);
    GIVEN(end);
    GIVEN(ret_data);
    GIVEN(ret_len);
    size_t len = 0;
    int r = begin_reading(s, e);
    if (r < 0)
        return r;
    r = gather_until(s, end, &len, deadline_ms, e);
    if (r == 0) {
        *ret_data = s->buf + s->head;
        *ret_len = len;
        consume(s, len);
    }
    end_reading(s);
    return r;
}

static int write_all(struct stream *s, const char *data, size_t len, int64_t deadline_ms,
                     struct err *e)
{
    while (len > 0) {
        ssize_t n = io_write(s->fd, data, len, deadline_ms, e);
        if (n < 0)
            return (int)n;
        data += n;
        len -= (size_t)n;
    }
    return 0;
}

int stream_write(struct stream *s, const void *data, size_t len, int64_t deadline_ms, struct err *e)
{
    GIVEN(s);
    loop_check_thread(s->loop, __func__);
    if (s->writing)
        return err_set(e, ERROR_RUNTIME, "a write was called while another task is still writing");
    s->writing = true;
    int r = write_all(s, data, len, deadline_ms, e);
    s->writing = false;
    end_when_left(s);
    return r;
}
