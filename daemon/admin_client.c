#include "daemon/admin_client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/log.h"
#include "daemon/master.h"

#define KEPT_BYTES ((size_t)256 << 10) /* of a buffer that is empty */
#define READ_BYTES 65536

/* ---- buffers ---- */

static bool buffer_room(struct buffer *b, size_t more)
{
    size_t size = b->size ? b->size : 4096;
    while (size < b->len + more)
        size *= 2;
    char *at = size == b->size ? b->at : realloc(b->at, size);
    if (!at)
        return false;
    b->at = at;
    b->size = size;
    return true;
}

static bool buffer_add(struct buffer *b, const char *bytes, size_t n)
{
    if (!buffer_room(b, n))
        return false;
    memcpy(b->at + b->len, bytes, n);
    b->len += n;
    return true;
}

static void buffer_drop(struct buffer *b, size_t n)
{
    b->len -= n;
    memmove(b->at, b->at + n, b->len);
}

/* ---- what goes out ---- */

static void say(struct admin_client *c, const char *bytes, size_t n)
{
    c->cut = c->cut || !buffer_add(&c->out, bytes, n);
    ev_io_start(c->admin->master->loop, &c->writable);
}

/* Takes. */
void admin_client_say(struct admin_client *c, json_t *line)
{
    char *text = line ? json_dumps(line, JSON_COMPACT) : NULL;
    json_decref(line);
    if (text) {
        say(c, text, strlen(text));
        say(c, "\n", 1);
    } else {
        c->cut = true;
        ev_io_start(c->admin->master->loop, &c->writable);
    }
    free(text);
}

void admin_client_refuse(struct admin_client *c, const char *sentence)
{
    admin_client_say(
        c, json_pack("{s:b, s:o}", "ok", 0, "error", admin_text(sentence, strlen(sentence))));
}

/* ---- clients ---- */

void admin_client_free(struct admin_client *c)
{
    struct ev_loop *loop = c->admin->master->loop;
    struct admin_call *call = c->call;
    ev_io_stop(loop, &c->readable);
    ev_io_stop(loop, &c->writable);
    ev_timer_stop(loop, &c->quiet);
    (void)close(c->fd);
    *c->at = c->next;
    if (c->next)
        c->next->at = c->at;
    c->admin->nclients--;
    free(c->in.at);
    free(c->out.at);
    free(c);
    if (!call)
        return;
    call->client = NULL;
    if (call->fn)
        admin_call_go_on(call); /* finds that out, and ends it */
}

static void RUNS_ON(on_master) hear(struct admin_client *c, const char *line, size_t len)
{
    struct admin_request request;
    struct err e = {0};
    ev_timer_again(c->admin->master->loop, &c->quiet);
    if (admin_request_parse(line, len, &request, &e) < 0)
        return admin_client_refuse(c, e.text);
    if (admin_call_begin(c, &request) < 0)
        admin_client_refuse(c, "no memory for the request");
}

/* The next request, if it is here as a whole and the last one is answered. */
static void RUNS_ON(on_master) next_request(struct admin_client *c)
{
    struct ev_loop *loop = c->admin->master->loop;
    if (c->call || c->out.len)
        return ev_io_stop(loop, &c->readable);
    const char *end = c->in.len ? memchr(c->in.at, '\n', c->in.len) : NULL;
    if (end) {
        size_t n = (size_t)(end - c->in.at);
        ev_io_stop(loop, &c->readable);
        hear(c, c->in.at, n);
        return buffer_drop(&c->in, n + 1);
    }
    if (c->last)
        return admin_client_free(c);
    if (c->in.len <= ADMIN_REQUEST_MAX)
        return ev_io_start(loop, &c->readable);
    c->last = true;
    c->in.len = 0;
    ev_io_stop(loop, &c->readable);
    admin_client_refuse(c, "the request has more than 1 MiB without a line end");
}

static void on_readable(struct ev_loop *loop, ev_io *w, int revents)
{
    (void)loop, (void)revents;
    thread_assert(&on_master);
    struct admin_client *c = w->data;
    if (!buffer_room(&c->in, READ_BYTES))
        return admin_client_free(c);
    ssize_t n = recv(c->fd, c->in.at + c->in.len, READ_BYTES, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n < 0)
        return admin_client_free(c);
    c->in.len += (size_t)n;
    c->last = c->last || !n;
    next_request(c);
}

static void RUNS_ON(on_master) all_is_written(struct admin_client *c)
{
    ev_io_stop(c->admin->master->loop, &c->writable);
    c->written = c->out.len = 0;
    if (c->out.size > KEPT_BYTES) {
        free(c->out.at);
        c->out = (struct buffer){0};
    }
    next_request(c);
}

static void on_writable(struct ev_loop *loop, ev_io *w, int revents)
{
    (void)revents;
    thread_assert(&on_master);
    struct admin_client *c = w->data;
    if (c->cut)
        return admin_client_free(c);
    ssize_t n = send(c->fd, c->out.at + c->written, c->out.len - c->written, MSG_NOSIGNAL);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n < 0)
        return admin_client_free(c);
    c->written += (size_t)n;
    ev_timer_again(loop, &c->quiet);
    struct admin_call *call = c->call;
    if (c->written == c->out.len)
        all_is_written(c);
    if (call && call->fn && !admin_full(call) && !ev_is_active(&call->timer))
        admin_call_go_on(call);
}

static void on_quiet(struct ev_loop *loop, ev_timer *w, int revents)
{
    (void)loop, (void)revents;
    thread_assert(&on_master);
    struct admin_client *c = w->data;
    if (c->call && !c->out.len)
        return say(c, "\n", 1); /* still at it */
    log_debug("admin-cut", "what='a client %s'", c->out.len ? "does not read" : "asks nothing");
    admin_client_free(c);
}

int admin_client_new(struct admin *a, int fd)
{
    struct admin_client *c = calloc(1, sizeof *c);
    if (!c)
        return -ENOMEM;
    *c = (struct admin_client){.admin = a, .next = a->clients, .at = &a->clients, .fd = fd};
    if (c->next)
        c->next->at = &c->next;
    a->clients = c;
    a->nclients++;
    ev_io_init(&c->readable, on_readable, fd, EV_READ);
    ev_io_init(&c->writable, on_writable, fd, EV_WRITE);
    ev_init(&c->quiet, on_quiet);
    c->quiet.repeat = ADMIN_SILENT_MS / 1000.0;
    c->readable.data = c->writable.data = c->quiet.data = c;
    ev_io_start(a->master->loop, &c->readable);
    ev_timer_again(a->master->loop, &c->quiet);
    return 0;
}
