#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "common/clock.h"
#include "common/log.h"
#include "daemon/redis_link.h"

#define PIECES_MAX 1024                 /* iovecs in a write: IOV_MAX */
#define FLUSH_BYTES ((size_t)256 << 10) /* so much is written before the turn ends */
#define READS_MAX 16                    /* a turn: one link does not starve the others */
#define SLOWEST 4096                    /* bytes a second that an answer under way must come with */

/* Requests ------------------------------------------------------------------------------------ */

static void forget_wire(struct redis_link *l, struct request *q)
{
    if (!q->wire)
        return;
    l->output -= q->len;
    redis_wire_free(q->wire);
    q->wire = NULL;
}

static struct request *request_free(struct redis_link *l, struct request *q)
{
    forget_wire(l, q);
    free(q->eval);
    free(q);
    return NULL;
}

static void append(struct redis_link *l, struct request *q)
{
    q->next = NULL;
    q->at_ms = clock_now_ms();
    if (l->tail)
        l->tail->next = q;
    else
        l->head = q;
    l->tail = q;
    if (!l->unsent)
        l->unsent = q;
    l->count++;
}

static struct request *take_head(struct redis_link *l)
{
    struct request *q = l->head;
    l->head = q->next;
    if (!l->head)
        l->tail = NULL;
    if (l->unsent == q)
        l->unsent = q->next;
    l->count--;
    return q;
}

static void mark_dirty(struct redis_link *l)
{
    if (l->dirty || ev_is_active(&l->writable))
        return;
    l->dirty = true;
    l->next_dirty = l->server->dirty;
    l->server->dirty = l;
}

void redis_pipe_drop(struct redis_link *l)
{
    while (l->head) {
        struct request *q = take_head(l);
        redis_fn fn = q->fn;
        void *data = q->data;
        (void)request_free(l, q);
        if (fn)
            fn(l, NULL, data);
    }
}

/* The deadline of the oldest answer ----------------------------------------------------------- */

static int64_t deadline(const struct redis_link *l)
{
    const struct request *q = l->head;
    if (!q)
        return INT64_MAX;
    int64_t from = q->at_ms > l->answered_ms ? q->at_ms : l->answered_ms;
    return from + q->timeout_ms + (int64_t)(l->received * 1000 / SLOWEST);
}

/* The timer may fire too early, never too late: it is set anew only where it would. */
static void watch(struct redis_link *l)
{
    int64_t at = deadline(l);
    if (at < l->timer_ms)
        redis_link_timer(l, at);
}

static void cut_overdue(struct redis_link *l)
{
    struct err why;
    (void)err_set(&why, -ETIMEDOUT, "no answer within %lld ms", (long long)l->head->timeout_ms);
    redis_link_fail(l, &why, false);
}

/* After a stop of this process the answers may lie in the socket: they are read before anything is
 * called late. */
void redis_pipe_overdue(struct redis_link *l)
{
    uint64_t generation = l->generation;
    if (deadline(l) <= clock_now_ms())
        redis_pipe_read(l);
    if (l->generation != generation)
        return;
    if (deadline(l) <= clock_now_ms())
        cut_overdue(l);
    else
        watch(l);
}

/* Writing ------------------------------------------------------------------------------------- */

static size_t pieces_of(const struct request *q, struct iovec v[3])
{
    if (!q->eval) {
        v[0] = (struct iovec){q->wire, q->len};
        return 1;
    }
    v[0] = (struct iovec){q->eval->head, q->eval->head_len};
    v[1] = (struct iovec){(void *)(uintptr_t)q->script->text, q->script->len};
    v[2] = (struct iovec){q->wire + q->eval->tail_at, q->len - q->eval->tail_at};
    return 3;
}

static size_t size_of(const struct request *q)
{
    struct iovec v[3];
    size_t n = pieces_of(q, v), sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += v[i].iov_len;
    return sum;
}

/* What is left to be written of q, behind `n` pieces in v. */
static size_t add_pieces(const struct request *q, struct iovec *v, size_t n)
{
    struct iovec all[3];
    size_t count = pieces_of(q, all), skip = q->written;
    for (size_t i = 0; i < count; i++) {
        size_t cut = skip < all[i].iov_len ? skip : all[i].iov_len;
        skip -= cut;
        if (cut < all[i].iov_len)
            v[n++] = (struct iovec){(char *)all[i].iov_base + cut, all[i].iov_len - cut};
    }
    return n;
}

/* `n` bytes were taken by the socket. */
static void account(struct redis_link *l, size_t n)
{
    int64_t now = clock_now_ms();
    while (n) {
        struct request *q = l->unsent;
        assert(q);
        size_t left = size_of(q) - q->written, part = n < left ? n : left;
        q->written += part;
        q->at_ms = now;
        n -= part;
        if (part < left)
            return;
        l->unsent = q->next;
        if (!q->script || q->eval)
            forget_wire(l, q);
    }
}

/* 0: all is written, or the socket is full and watched; else the error. */
static int write_out(struct redis_link *l)
{
    struct iovec v[PIECES_MAX];
    while (l->unsent) {
        struct msghdr m = {.msg_iov = v};
        for (const struct request *q = l->unsent; q && m.msg_iovlen + 3 <= PIECES_MAX; q = q->next)
            m.msg_iovlen = add_pieces(q, v, m.msg_iovlen);
        ssize_t n = sendmsg(l->fd, &m, MSG_NOSIGNAL);
        if (n >= 0) {
            account(l, (size_t)n);
        } else if (errno == EAGAIN) {
            ev_io_start(l->server->loop, &l->writable);
            return 0;
        } else if (errno != EINTR) {
            return -errno;
        }
    }
    ev_io_stop(l->server->loop, &l->writable);
    return 0;
}

/* A server that closes says why before: what it said is read before the write's error counts. */
void redis_pipe_flush(struct redis_link *l)
{
    struct err why;
    uint64_t generation = l->generation;
    if (l->state != LINK_GREETING && l->state != LINK_UP)
        return; /* cut since it was marked; `writable` may be connecting again */
    int error = write_out(l);
    if (!error) {
        watch(l);
        return;
    }
    redis_link_hold(l);
    redis_pipe_read(l);
    if (l->generation == generation) {
        (void)err_set(&why, error, "write: %s", strerrordesc_np(-error));
        redis_link_fail(l, &why, false);
    }
    redis_link_release(l);
}

int redis_pipe_add(struct redis_link *l, const struct redis_command *c, int64_t timeout_ms,
                   redis_fn fn, void *data)
{
    if (l->output >= REDIS_OUTPUT_MAX)
        return -ENOBUFS; /* before it is copied: who waits for room tries again each turn */
    struct request *q = calloc(1, sizeof *q);
    if (!q)
        return -ENOMEM;
    int error = redis_command_format(c, &q->wire, &q->len);
    if (error) {
        redis_wire_free(q->wire);
        free(q);
        return error;
    }
    q->script = redis_command_script(c);
    q->fn = fn;
    q->data = data;
    q->timeout_ms = timeout_ms;
    l->output += q->len;
    append(l, q);
    mark_dirty(l);
    return 0;
}

int redis_send(struct redis_link *l, struct redis_command *c, int64_t timeout_ms, redis_fn fn,
               void *data)
{
    if (!redis_link_up(l))
        return -ENOTCONN;
    if (l->count >= REDIS_PENDING_MAX)
        return -ENOBUFS;
    int error =
        redis_pipe_add(l, c, timeout_ms ? timeout_ms : l->server->command_timeout_ms, fn, data);
    if (!error && l->output > FLUSH_BYTES && !ev_is_active(&l->writable))
        (void)write_out(
            l); /* an error shows again at the end of the turn, where a cut may run callbacks */
    return error;
}

/* Answers ------------------------------------------------------------------------------------- */

/* The server does not know the script: the same command goes out again with its text, behind what
 * was sent. */
static bool sent_again(struct redis_link *l, struct request *q, const struct redis_reply *r)
{
    if (!q->script || q->eval || !redis_is_error(r, "NOSCRIPT"))
        return false;
    q->eval = malloc(sizeof *q->eval);
    if (!q->eval)
        return false;
    redis_command_eval(q->wire, q->script, q->eval);
    q->written = 0;
    append(l, q);
    mark_dirty(l);
    return true;
}

static void answer(struct redis_link *l, const struct redis_reply *r)
{
    struct request *q = take_head(l);
    l->server->progress++;
    l->answered_ms = clock_now_ms();
    l->received = 0;
    if (l->state == LINK_UP) {
        l->failures = 0;
        l->called = false;
    }
    if (sent_again(l, q, r))
        return;
    redis_fn fn = q->fn;
    void *data = q->data;
    (void)request_free(l, q);
    if (fn)
        fn(l, r, data);
}

/* The server hears no more over this connection. */
static void answer_last(struct redis_link *l, const struct redis_reply *r)
{
    uint64_t generation = l->generation;
    struct err why;
    (void)err_set(&why, -EMSGSIZE, "it refuses a command: %.120s", r->str);
    answer(l, r);
    if (l->generation == generation)
        redis_link_fail(l, &why, false);
}

static bool is_message(const struct redis_link *l, const struct redis_reply *r)
{
    return l->listen && r->type == REDIS_ARRAY && r->n == 3 && redis_is(&r->item[0], "message");
}

static void hear(struct redis_link *l, const struct redis_reply *r)
{
    l->received = 0;
    l->listen(l, r, l->data);
}

static bool nothing_asked(const struct redis_link *l)
{
    return !l->head || (l->head == l->unsent && !l->head->written);
}

/* An argument that is too large for the server is refused before it has come whole. */
static bool answers_what_it_may(const struct redis_link *l, const struct redis_reply *r)
{
    return !nothing_asked(l) && (l->head != l->unsent || redis_is_too_large(r));
}

static void cut_unasked(struct redis_link *l, const char *in, size_t len)
{
    struct err why;
    char quoted[LOG_QUOTE_MAX];
    size_t shown = len < 80 ? len : 80;
    const char *end = memchr(in, '\r', shown);
    (void)err_set(&why, -EPROTO, "an answer that nothing was asked for: %s",
                  log_quote(in, end ? (size_t)(end - in) : shown, quoted));
    redis_link_fail(l, &why, false);
}

/* Runs the answers in `in`. What was not understood yet is held; false: the connection has ended
 * meanwhile. */
static bool take_answers(struct redis_link *l, const char *in, size_t len)
{
    uint64_t generation = l->generation;
    const struct redis_reply *r;
    struct err why;
    while (len) {
        size_t used;
        if (!l->listen && nothing_asked(l)) {
            cut_unasked(l, in, len);
            return false;
        }
        if (redis_reader_read(l->reader, in, len, &used, &r, &why) < 0) {
            redis_link_fail(l, &why, false);
            return false;
        }
        if (r && !is_message(l, r) && !answers_what_it_may(l, r)) {
            cut_unasked(l, in, len);
            return false;
        }
        in += used;
        len -= used;
        l->received += used;
        if (!r)
            break;
        if (is_message(l, r))
            hear(l, r);
        else if (redis_is_too_large(r))
            answer_last(l, r);
        else
            answer(l, r);
        if (l->generation != generation)
            return false;
    }
    assert(len <= sizeof l->held);
    memcpy(l->held, in, len);
    l->held_len = len;
    return true;
}

static void ended(struct redis_link *l, int error)
{
    struct err why;
    if (l->finishing) {
        thread_assert(&on_master);
        l->finished = !error;
        redis_link_reset(l);
        return;
    }
    (void)err_set(&why, error ? -error : -ECONNRESET, "%s",
                  error ? strerrordesc_np(error) : "the server closed the connection");
    redis_link_fail(l, &why, false);
}

void redis_pipe_read(struct redis_link *l)
{
    char *in = l->server->in; /* one for all links: nothing reads within a callback */
    redis_link_hold(l);
    bool more = l->fd >= 0;
    for (int i = 0; more && i < READS_MAX; i++) {
        memcpy(in, l->held, l->held_len);
        ssize_t n = recv(l->fd, in + l->held_len, REDIS_IN_BYTES, 0);
        if (n > 0) {
            more = take_answers(l, in, l->held_len + (size_t)n) && (size_t)n == REDIS_IN_BYTES;
        } else {
            if (n == 0 || (errno != EAGAIN && errno != EINTR))
                ended(l, n ? errno : 0);
            more = false;
        }
    }
    if (l->fd >= 0)
        watch(l);
    redis_link_release(l);
}
