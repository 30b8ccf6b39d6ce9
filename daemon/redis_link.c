#include "daemon/redis_link.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "daemon/redis_socket.h"

#define BACKOFF_FIRST_MS 50
#define BACKOFF_MAX_MS 5000
#define SCOUT_MAX_MS 500

static const char *const names[LINK_STATES] = {
    [LINK_IDLE] = "idle",
    [LINK_RESOLVING] = "resolving",
    [LINK_CONNECTING] = "connecting",
    [LINK_GREETING] = "greeting",
    [LINK_UP] = "up",
    [LINK_DOWN] = "down",
};

static const unsigned allowed[LINK_STATES] = {
    [LINK_IDLE] = 1u << LINK_RESOLVING | 1u << LINK_DOWN,
    [LINK_RESOLVING] = 1u << LINK_CONNECTING | 1u << LINK_DOWN,
    [LINK_CONNECTING] = 1u << LINK_GREETING | 1u << LINK_DOWN,
    [LINK_GREETING] = 1u << LINK_UP | 1u << LINK_DOWN,
    [LINK_UP] = 1u << LINK_DOWN,
    [LINK_DOWN] = 1u << LINK_RESOLVING | 1u << LINK_DOWN,
};

static void move(struct redis_link *l, enum link_state to)
{
    assert(allowed[l->state] & 1u << to);
    log_debug("redis-link", "link='%s' from=%s to=%s", l->name, names[l->state], names[to]);
    l->state = to;
}

/* The timer: the beginning of a connection, the end of a step, the deadline of an answer ------ */

void redis_link_timer(struct redis_link *l, int64_t at_ms)
{
    struct ev_loop *loop = l->server->loop;
    l->timer_ms = at_ms;
    ev_timer_stop(loop, &l->timer);
    if (at_ms == INT64_MAX)
        return;
    int64_t in_ms = at_ms - clock_now_ms();
    ev_timer_set(&l->timer, in_ms > 0 ? (double)in_ms / 1000.0 : 0.0, 0.0);
    ev_timer_start(loop, &l->timer);
}

/* Full jitter: anything up to a bound that doubles, so that many daemons do not come back at once.
 */
static int64_t backoff_ms(unsigned failures, int64_t max)
{
    uint32_t random = 0;
    int64_t bound = failures < 8 ? (int64_t)BACKOFF_FIRST_MS << failures : max;
    if (bound > max)
        bound = max;
    if (getrandom(&random, sizeof random, GRND_NONBLOCK) != (ssize_t)sizeof random)
        random = (uint32_t)clock_now_ns();
    return 1 + (int64_t)(random % (uint64_t)bound);
}

/* A server that says it reads its data will be there soon: one link, its scout, asks it often, and
 * calls the others once it is up. */
static int64_t longest_backoff_ms(struct redis_link *l, const struct err *why)
{
    struct redis *r = l->server;
    bool loads = why->code == -EAGAIN && strncmp(why->text, "LOADING", 7) == 0;
    if (loads && !r->scout)
        r->scout = l;
    else if (!loads && r->scout == l)
        r->scout = NULL;
    return r->scout == l ? SCOUT_MAX_MS : BACKOFF_MAX_MS;
}

/* Where one link comes up, the others need not sit out what they waited for; each once before it
 * was of use, so that a server that only greets is not stormed. */
static void call_others(struct redis_link *l)
{
    struct redis *r = l->server;
    if (r->scout == l)
        r->scout = NULL;
    for (struct redis_link *o = r->links; o; o = o->next) {
        if (o->state != LINK_DOWN || o->called)
            continue;
        int64_t at = clock_now_ms() + backoff_ms(0, BACKOFF_MAX_MS);
        o->called = true;
        if (at < o->timer_ms)
            redis_link_timer(o, at);
    }
}

/* The end of a connection --------------------------------------------------------------------- */

static void close_socket(struct redis_link *l)
{
    if (l->fd < 0)
        return;
    ev_io_stop(l->server->loop, &l->readable);
    ev_io_stop(l->server->loop, &l->writable);
    (void)close(l->fd);
    l->fd = -1;
}

static void close_link(struct redis_link *l)
{
    l->cuts += l->state == LINK_UP;
    l->generation++;
    l->finishing = false;
    close_socket(l);
    move(l, LINK_DOWN);
}

void redis_link_hold(struct redis_link *l)
{
    assert(l->busy >= 0);
    l->busy++;
}

void redis_link_release(struct redis_link *l)
{
    if (--l->busy || !l->freed)
        return;
    (void)redis_reader_free(l->reader);
    free(l->name);
    free(l);
}

void redis_link_fail(struct redis_link *l, const struct err *why, bool refused)
{
    struct err kept = *why; /* it may lie in the link */
    bool was_up = l->state == LINK_UP;
    close_link(l);
    int64_t longest = longest_backoff_ms(l, &kept);
    redis_link_timer(l, clock_now_ms() + backoff_ms(l->failures++, longest));
    redis_link_is_lost(l, &kept, refused);
    redis_link_hold(l);
    redis_pipe_drop(l);
    if (was_up && !l->freed && l->events->down)
        l->events->down(l, &kept, l->data);
    if (refused && !l->freed && l->events->refused)
        l->events->refused(l, &kept, l->data);
    redis_link_release(l);
}

void redis_link_finish(struct redis_link *l)
{
    if (l->state != LINK_UP || l->finishing || l->unsent || l->received || l->held_len)
        return;
    l->finishing = true;
    if (shutdown(l->fd, SHUT_WR) < 0)
        redis_link_reset(l);
}

void redis_link_reset(struct redis_link *l)
{
    if (l->freed)
        return;
    close_link(l);
    l->failures = 0;
    redis_link_timer(l, clock_now_ms());
    redis_link_hold(l);
    redis_pipe_drop(l);
    redis_link_release(l);
}

void redis_link_greeted(struct redis_link *l)
{
    move(l, LINK_UP);
    redis_link_is_back(l);
    call_others(l);
    if (l->events->up)
        l->events->up(l, l->data);
}

static void greet(struct redis_link *l)
{
    struct err why;
    move(l, LINK_GREETING);
    int error = redis_greet(l);
    if (error) {
        (void)err_set(&why, error, "no memory for the greeting of a link");
        redis_link_fail(l, &why, false);
        return;
    }
    redis_pipe_flush(l);
}

/* Connecting: one address after the other, each with its share of the time -------------------- */

static void connect_next(struct redis_link *l)
{
    const struct redis_addresses *a = &l->server->addresses;
    for (; l->address < a->n; l->address++) {
        l->fd = redis_socket_open((const struct sockaddr *)&a->at[l->address].addr,
                                  a->at[l->address].len, &l->connect_error);
        if (l->fd < 0)
            continue;
        int64_t now = clock_now_ms(), left = l->connect_by_ms - now;
        redis_link_timer(l, now + left / (int64_t)(a->n - l->address));
        ev_io_set(&l->readable, l->fd, EV_READ);
        ev_io_set(&l->writable, l->fd, EV_WRITE);
        ev_io_start(l->server->loop, &l->writable);
        return;
    }
    redis_link_fail(l, &l->connect_error, false);
}

static void try_next(struct redis_link *l)
{
    close_socket(l);
    l->address++;
    connect_next(l);
}

static void connected(struct redis_link *l)
{
    const struct redis_addresses *a = &l->server->addresses;
    if (l->address >= a->n ||
        redis_socket_opened(l->fd, (const struct sockaddr *)&a->at[l->address].addr,
                            a->at[l->address].len, &l->connect_error) < 0) {
        try_next(l);
        return;
    }
    ev_io_stop(l->server->loop, &l->writable);
    ev_io_start(l->server->loop, &l->readable);
    greet(l);
}

void redis_link_resolved(struct redis_link *l, const struct err *why)
{
    if (why) {
        redis_link_fail(l, why, false);
        return;
    }
    move(l, LINK_CONNECTING);
    l->address = 0;
    l->connect_by_ms = clock_now_ms() + l->server->connect_timeout_ms;
    (void)err_set(&l->connect_error, -EHOSTUNREACH, "no address to connect to");
    connect_next(l);
}

static void RUNS_ON(on_master) begin(struct redis_link *l)
{
    struct err why;
    move(l, LINK_RESOLVING);
    l->reader = redis_reader_free(l->reader);
    l->reader = redis_reader_new(l->server->max_bulk);
    l->held_len = 0;
    l->finished = false;
    if (!l->reader) {
        (void)err_set(&why, -ENOMEM, "no memory for a connection");
        redis_link_fail(l, &why, false);
        return;
    }
    redis_link_timer(l, clock_now_ms() + l->server->connect_timeout_ms);
    if (!l->server->asks)
        redis_link_resolved(l, NULL);
    else if (redis_resolver_ask(l->server->resolver, &why) < 0)
        redis_link_fail(l, &why, false);
}

static void unresolved(struct redis_link *l)
{
    struct err why;
    (void)err_set(&why, -ETIMEDOUT, "host '%s': the name server does not answer",
                  l->server->url.host);
    redis_link_fail(l, &why, false);
}

static void unconnected(struct redis_link *l)
{
    char text[REDIS_SOCKET_TEXT_MAX] = "";
    const struct redis_addresses *a = &l->server->addresses;
    if (l->address < a->n)
        (void)redis_socket_text((const struct sockaddr *)&a->at[l->address].addr,
                                a->at[l->address].len, text);
    (void)err_set(&l->connect_error, -ETIMEDOUT, "connect %s: no answer within %lld ms", text,
                  (long long)l->server->connect_timeout_ms);
    try_next(l);
}

/* Watchers ------------------------------------------------------------------------------------ */

static void on_timer(struct ev_loop *loop, ev_timer *w, int revents)
{
    struct redis_link *l = w->data;
    (void)loop, (void)revents;
    thread_assert(&on_master);
    if (clock_now_ms() < l->timer_ms) { /* it counts from the beginning of the turn it was set in */
        redis_link_timer(l, l->timer_ms);
        return;
    }
    l->timer_ms = INT64_MAX;
    redis_link_hold(l);
    if (l->state == LINK_IDLE || l->state == LINK_DOWN)
        begin(l);
    else if (l->state == LINK_RESOLVING)
        unresolved(l);
    else if (l->state == LINK_CONNECTING)
        unconnected(l);
    else
        redis_pipe_overdue(l);
    redis_link_release(l);
}

/* libev watches it no more: the kernel has no memory for that. */
static void unwatched(struct redis_link *l)
{
    struct err why;
    (void)err_set(&why, -ENOMEM, "the connection cannot be watched");
    redis_link_fail(l, &why, false);
}

static void on_writable(struct ev_loop *loop, ev_io *w, int revents)
{
    struct redis_link *l = w->data;
    (void)loop;
    thread_assert(&on_master);
    redis_link_hold(l);
    if (revents & EV_ERROR)
        unwatched(l);
    else if (l->state == LINK_CONNECTING)
        connected(l);
    else
        redis_pipe_flush(l);
    redis_link_release(l);
}

static void on_readable(struct ev_loop *loop, ev_io *w, int revents)
{
    struct redis_link *l = w->data;
    (void)loop;
    thread_assert(&on_master);
    redis_link_hold(l);
    if (revents & EV_ERROR)
        unwatched(l);
    else
        redis_pipe_read(l);
    redis_link_release(l);
}

/* The link ------------------------------------------------------------------------------------ */

struct redis_link *redis_link_new(struct redis *r, const char *name, const struct redis_events *ev,
                                  void *data)
{
    struct redis_link *l = calloc(1, sizeof *l);
    char *copy = strdup(name);
    if (!l || !copy) {
        free(l);
        free(copy);
        return NULL;
    }
    *l = (struct redis_link){
        .server = r, .name = copy, .events = ev, .data = data, .fd = -1, .next = r->links};
    r->links = l;
    ev_init(&l->readable, on_readable);
    ev_init(&l->writable, on_writable);
    ev_init(&l->timer, on_timer);
    l->readable.data = l->writable.data = l->timer.data = l;
    redis_link_timer(l, clock_now_ms());
    return l;
}

static void unlink_from_server(struct redis_link *l)
{
    struct redis_link **p = &l->server->links;
    while (*p != l)
        p = &(*p)->next;
    *p = l->next;
    if (l->server->scout == l)
        l->server->scout = NULL;
    for (p = &l->server->dirty; *p; p = &(*p)->next_dirty) {
        if (*p == l) {
            *p = l->next_dirty;
            return;
        }
    }
}

struct redis_link *redis_link_free(struct redis_link *l)
{
    if (!l || l->freed)
        return NULL;
    redis_link_hold(l);
    close_link(l);
    l->freed = true;
    redis_link_timer(l, INT64_MAX);
    redis_link_is_gone(l);
    unlink_from_server(l);
    redis_pipe_drop(l);
    redis_link_release(l);
    return NULL;
}

void redis_link_listen(struct redis_link *l, redis_fn fn)
{
    l->listen = fn;
}

bool redis_link_up(const struct redis_link *l)
{
    return l->state == LINK_UP && !l->finishing;
}

bool redis_link_finished(const struct redis_link *l)
{
    return l->finished;
}

uint64_t redis_link_cuts(const struct redis_link *l)
{
    return l->cuts;
}
