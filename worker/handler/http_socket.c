#include "worker/handler/http_socket.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "worker/runtime/context.h"
#include "worker/runtime/io.h"
#include "worker/runtime/watch_fd.h"

#define FIRST_ROOM 64

struct http_socket {
    struct http_sockets *all;
    int fd;
    int wanted, watched; /* CURL_POLL_IN, CURL_POLL_OUT: by libcurl; at the loop */
    bool kept;
};

void http_sockets_deinit(struct http_sockets *s)
{
    for (size_t i = 0; i < s->room; i++)
        free(s->at[i]);
    free(s->at);
}

static struct http_socket *find(const struct http_sockets *s, int fd)
{
    return fd >= 0 && (size_t)fd < s->room ? s->at[fd] : NULL;
}

static int grow(struct http_sockets *s, size_t fd)
{
    size_t room = s->room ? s->room : FIRST_ROOM;
    while (room <= fd)
        room *= 2;
    struct http_socket **at = realloc(s->at, room * sizeof(struct http_socket *));
    if (!at)
        return -ENOMEM;
    memset(at + s->room, 0, (room - s->room) * sizeof(struct http_socket *));
    s->at = at;
    s->room = room;
    return 0;
}

static struct http_socket *get(struct http_sockets *s, int fd)
{
    struct http_socket *x = find(s, fd);
    if (x || ((size_t)fd >= s->room && grow(s, (size_t)fd) < 0))
        return x;
    x = calloc(1, sizeof *x);
    if (x)
        *x = (struct http_socket){.all = s, .fd = fd};
    return s->at[fd] = x;
}

static void stop(struct http_socket *x, int what)
{
    what &= x->watched;
    x->watched &= ~what;
    if (what & CURL_POLL_IN)
        (void)loop_remove_reader(x->all->loop, x->fd);
    if (what & CURL_POLL_OUT)
        (void)loop_remove_writer(x->all->loop, x->fd);
}

static void on_readable(void *arg)
{
    struct http_socket *x = arg;
    if (x->wanted & CURL_POLL_IN)
        x->all->ready(x->all->arg, x->fd, CURL_CSELECT_IN);
    else
        stop(x, CURL_POLL_IN);
}

static void on_writable(void *arg)
{
    struct http_socket *x = arg;
    x->all->ready(x->all->arg, x->fd, CURL_CSELECT_OUT);
}

/* A connection outlives the request that made it: a crash in its callbacks is not the job's. */
static int start(struct http_socket *x, int what)
{
    struct context *of_job = context_swap(NULL);
    struct loop *l = x->all->loop;
    int r = 0;
    what &= ~x->watched;
    x->watched |= what;
    if (what & CURL_POLL_IN)
        r = loop_add_reader(l, x->fd, on_readable, x, NULL);
    if (r == 0 && what & CURL_POLL_OUT)
        r = loop_add_writer(l, x->fd, on_writable, x, NULL);
    (void)context_swap(of_job);
    return r;
}

int http_socket_await(struct http_sockets *s, int fd, int what)
{
    struct http_socket *x = get(s, fd);
    if (!x)
        return what == CURL_POLL_REMOVE ? 0 : -ENOMEM;
    x->wanted = what & CURL_POLL_INOUT;
    stop(x, ~x->wanted & (x->kept ? CURL_POLL_OUT : CURL_POLL_INOUT));
    return start(x, x->wanted);
}

void http_socket_keep(struct http_sockets *s, int fd)
{
    struct http_socket *x = find(s, fd);
    if (x)
        x->kept = true;
}

bool http_socket_is_kept(const struct http_sockets *s, int fd)
{
    const struct http_socket *x = find(s, fd);
    return x && x->kept;
}

void http_socket_close(struct http_sockets *s, int fd)
{
    struct http_socket *x = find(s, fd);
    if (x)
        *x = (struct http_socket){.all = s, .fd = fd};
    io_close(s->loop, fd);
}
