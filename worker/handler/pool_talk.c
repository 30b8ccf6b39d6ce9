/* Callbacks on its descriptors do the work, on the loop's own stack; the task awaits one future. */
#include "worker/handler/pool_talk.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/callout.h"
#include "worker/runtime/future.h"
#include "worker/runtime/watch_fd.h"

#define CHUNK ((size_t)64 << 10) /* what a pipe holds */
#define DRAIN_MOST 32            /* chunks: a flood has no end */

struct talk {
    const struct pool_talk *with;
    const struct job *job;
    struct loop *loop;
    struct future *over;
    bool ended; /* `code` is set */
    int code;
    struct err *e;
    char *request; /* its line; the payload follows */
    size_t request_len, sent;
    char *line; /* of the answer, as far as it came in parts */
    size_t line_len;
    bool answered; /* the line is read: what follows is the result */
    bool wanted;   /* the result */
    size_t got;    /* of the result */
    struct pool_talk_end end;
};

static void end(struct talk *t, int code)
{
    if (t->ended)
        return;
    t->ended = true;
    t->code = code;
    (void)future_set_result(t->over, NULL); /* cancelled before: that counts */
}

/* ---- the request ---- */

static bool sent_all(const struct talk *t)
{
    return t->sent == t->request_len + t->job->len;
}

static ssize_t send_some(const struct talk *t)
{
    size_t of_line = t->sent < t->request_len ? t->sent : t->request_len;
    size_t of_payload = t->sent - of_line;
    struct iovec parts[] = {
        {.iov_base = t->request + of_line, .iov_len = t->request_len - of_line},
        {.iov_base = (char *)t->job->payload + of_payload, .iov_len = t->job->len - of_payload}};
    return writev(t->with->in, parts, 2);
}

static void on_writable(void *arg)
{
    struct talk *t = arg;
    if (t->ended)
        return;
    ssize_t n = send_some(t);
    if (n > 0)
        t->sent += (size_t)n;
    else if (n < 0 && errno == EPIPE) /* else no room, or no memory for it: another time */
        end(t, t->sent ? err_set(t->e, -EPIPE, "it closed its standard input within the job")
                       : err_set(t->e, -ENOTCONN, "it had closed its standard input before"));
    if (t->ended || sent_all(t))
        (void)loop_remove_writer(t->loop, t->with->in);
}

/* ---- the answer ---- */

/* Behind its line, or the last byte of its result. */
static void look_whether_whole(struct talk *t)
{
    if (t->got == t->end.answer.len)
        end(t, 0);
}

static void take_answer(struct talk *t, const char *line, size_t len)
{
    int r = pool_frame_answer(t->job, line, len, &t->end.answer, t->e);
    if (r < 0)
        return end(t, r);
    if (!sent_all(t))
        return end(t, err_set(t->e, -EPROTO, "it answered before it had read the whole job"));
    size_t room = t->end.answer.len;
    t->answered = true;
    t->wanted = room && t->end.answer.outcome == JOB_DONE && job_wants_result(t->job);
    if (t->wanted && !(t->end.result = malloc(room)))
        return end(t, err_set(t->e, -ENOMEM, "no memory for its result of %zu bytes", room));
    look_whether_whole(t);
}

/* Takes part of a line whose end is still to come. */
static void keep_part(struct talk *t, const char *bytes, size_t len)
{
    if (!t->line && !(t->line = malloc(POOL_FRAME_LINE_MAX)))
        return end(t, err_set(t->e, -ENOMEM, "no memory for its answer"));
    memcpy(t->line + t->line_len, bytes, len);
    t->line_len += len;
}

/* Returns how many bytes of them it took. */
static size_t take_line(struct talk *t, const char *bytes, size_t len)
{
    const char *at = memchr(bytes, '\n', len);
    size_t n = at ? (size_t)(at - bytes) + 1 : len;
    if (t->line_len + n > POOL_FRAME_LINE_MAX) {
        end(t, err_set(t->e, -EPROTO, "it wrote %zu bytes without a line end, allowed are %zu",
                       t->line_len + n, POOL_FRAME_LINE_MAX));
        return len;
    }
    if (t->line_len || !at)
        keep_part(t, bytes, n);
    if (at && !t->ended)
        take_answer(t, t->line ? t->line : bytes, t->line ? t->line_len : n);
    return n;
}

static size_t take_result(struct talk *t, const char *bytes, size_t len)
{
    size_t left = t->end.answer.len - t->got, n = len < left ? len : left;
    if (t->wanted)
        memcpy((char *)t->end.result + t->got, bytes, n);
    t->got += n;
    look_whether_whole(t);
    return n;
}

static void feed(struct talk *t, const char *bytes, size_t len)
{
    for (size_t n; len && !t->ended; bytes += n, len -= n)
        n = t->answered ? take_result(t, bytes, len) : take_line(t, bytes, len);
    if (len && t->code == 0)
        t->end.surplus = true;
}

/* False: there is no more to be read, now or ever. */
static bool read_some(struct talk *t)
{
    char chunk[CHUNK];
    ssize_t n = read(t->with->out, chunk, sizeof chunk);
    if (n > 0)
        feed(t, chunk, (size_t)n);
    else if (n == 0)
        end(t, err_set(t->e, -EPIPE, "it closed its standard output before it had answered"));
    else if (errno != EINTR)
        return false;
    return !t->ended;
}

static void on_readable(void *arg)
{
    struct talk *t = arg;
    if (!t->ended)
        (void)read_some(t);
}

/* What it wrote before its end counts; others may hold its pipe, so that end of file is not waited
 * for. */
static void on_end(void *arg)
{
    struct talk *t = arg;
    if (t->ended)
        return;
    while (read_some(t))
        ;
    end(t, err_set(t->e, -EPIPE, "it ended before it had answered"));
}

/* ---- its standard error ---- */

static bool hear_some(const struct pool_talk *t)
{
    char chunk[CHUNK];
    ssize_t n = read(t->err, chunk, sizeof chunk);
    if (n > 0)
        t->hear(t->arg, chunk, (size_t)n);
    return n > 0;
}

static void on_error_readable(void *arg)
{
    const struct pool_talk *t = arg;
    struct pollfd closed = {.fd = t->err};
    /* Its end is no news, but would keep the loop busy. */
    if (!hear_some(t) && poll(&closed, 1, 0) == 1 && closed.revents & POLLHUP)
        (void)loop_remove_reader(loop_running(), t->err);
}

int pool_talk_listen(const struct pool_talk *t, struct err *e)
{
    return loop_add_reader(loop_running(), t->err, on_error_readable, (void *)(uintptr_t)t, e);
}

static void drain(void *arg)
{
    for (int i = 0; i < DRAIN_MOST && hear_some(arg); i++)
        ;
}

void pool_talk_drain(const struct pool_talk *t)
{
    callout(drain, (void *)(uintptr_t)t);
}

/* ---- all of it ---- */

static int watch(struct talk *t)
{
    const struct pool_talk *w = t->with;
    int r = loop_add_writer(t->loop, w->in, on_writable, t, t->e);
    if (r == 0)
        r = loop_add_reader(t->loop, w->out, on_readable, t, t->e);
    if (r == 0)
        r = pool_talk_listen(w, t->e);
    return r < 0 ? r : loop_add_reader(t->loop, w->pidfd, on_end, t, t->e);
}

static void unwatch(struct talk *t)
{
    const struct pool_talk *w = t->with;
    (void)loop_remove_writer(t->loop, w->in);
    (void)loop_remove_reader(t->loop, w->out);
    (void)loop_remove_reader(t->loop, w->err);
    (void)loop_remove_reader(t->loop, w->pidfd);
}

static int talk(struct talk *t)
{
    int r = watch(t);
    if (r == 0)
        r = future_await(t->over, NULL, t->e);
    unwatch(t);
    pool_talk_drain(t->with);
    return r < 0 ? r : t->code;
}

int pool_talk(const struct pool_talk *with, const struct job *j, int64_t deadline_ms,
              struct pool_talk_end *ret, struct err *e)
{
    struct talk t = {.with = with, .job = j, .loop = loop_running(), .e = e};
    t.request = pool_frame_request(j, deadline_ms, &t.request_len);
    t.over = t.request ? loop_create_future(t.loop) : NULL;
    int r = t.over ? talk(&t) : err_set(e, -ENOMEM, "no memory for a request");
    future_unref(t.over);
    free(t.request);
    free(t.line);
    if (r == 0)
        *ret = t.end;
    else
        free(t.end.result);
    return r;
}

bool pool_talk_stray(const struct pool_talk *t, struct err *e)
{
    struct pollfd fds[] = {{.fd = t->pidfd, .events = POLLIN}, {.fd = t->out, .events = POLLIN}};
    if (poll(fds, 2, 0) <= 0)
        return false;
    (void)err_set(e, -EPIPE,
                  fds[0].revents            ? "it ended while it had no job"
                  : fds[1].revents & POLLIN ? "it wrote to its standard output while it had no job"
                                            : "it closed its standard output");
    return true;
}
