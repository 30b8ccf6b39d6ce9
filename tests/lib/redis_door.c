#include "tests/lib/redis_door.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"

static void on_up(struct redis_link *link, void *data)
{
    struct door *d = data;
    (void)link;
    d->ups++;
    if (d->on_up)
        d->on_up(d);
}

static void on_down(struct redis_link *link, const struct err *why, void *data)
{
    struct door *d = data;
    (void)link;
    d->downs++;
    d->why = *why;
}

static void on_refused(struct redis_link *link, const struct err *why, void *data)
{
    struct door *d = data;
    (void)link;
    d->refusals++;
    d->why = *why;
}

static const struct redis_events events = {on_up, on_down, on_refused};

struct redis_options door_options(const char *url)
{
    return (struct redis_options){.url = url,
                                  .username = "",
                                  .password = "",
                                  .client_name = "",
                                  .connect_timeout_ms = 2000,
                                  .command_timeout_ms = 2000,
                                  .max_bulk = 1 << 20};
}

static void on_tick(struct ev_loop *loop, ev_timer *w, int revents)
{
    (void)loop, (void)w, (void)revents;
}

int door_open(struct door *d, const struct redis_options *o)
{
    *d = (struct door){0};
    thread_enter(&on_master);
    d->loop = ev_loop_new(EVFLAG_AUTO | EVFLAG_NOENV);
    d->command = redis_command_new();
    d->redis = d->loop ? redis_new(d->loop, o, &d->why) : NULL;
    d->link = d->redis ? redis_link_new(d->redis, "test", &events, d) : NULL;
    if (d->loop) {
        ev_timer_init(&d->tick, on_tick, 0.01, 0.01);
        ev_timer_start(d->loop, &d->tick);
    }
    if (d->link && d->command)
        return 0;
    door_close(d);
    return -EINVAL;
}

void door_close(struct door *d)
{
    thread_enter(&on_master);
    d->redis = redis_free(d->redis);
    d->command = redis_command_free(d->command);
    if (d->loop)
        ev_loop_destroy(d->loop);
    d->loop = NULL;
}

void door_reset(struct door *d)
{
    thread_enter(&on_master);
    redis_link_reset(d->link);
}

bool door_until(struct door *d, const int *count, int n)
{
    int64_t end = clock_now_ms() + 120000;
    while (*count < n && clock_now_ms() < end)
        ev_run(d->loop, EVRUN_ONCE);
    return *count >= n;
}

void door_turn(struct door *d, int64_t ms)
{
    int64_t end = clock_now_ms() + ms;
    while (clock_now_ms() < end)
        ev_run(d->loop, EVRUN_ONCE);
}

static void render(const struct redis_reply *r, char *out, size_t size)
{
    switch (r->type) {
    case REDIS_NIL:
        (void)snprintf(out, size, "nil");
        return;
    case REDIS_INTEGER:
        (void)snprintf(out, size, "%lld", (long long)r->integer);
        return;
    case REDIS_LARGE:
        (void)snprintf(out, size, "large %zu", r->len);
        return;
    case REDIS_ARRAY:
        (void)snprintf(out, size, "array %zu", r->n);
        return;
    default:
        (void)snprintf(out, size, "%s", r->str);
    }
}

void door_answer(struct redis_link *link, const struct redis_reply *r, void *answers)
{
    struct answers *a = answers;
    (void)link;
    a->count++;
    a->nulls += !r;
    a->errors += r && r->type == REDIS_ERROR;
    a->len = r ? r->len : 0;
    if (r)
        render(r, a->last, sizeof a->last);
}

int door_send(struct door *d, struct answers *a, int64_t timeout_ms, const char *const *words)
{
    thread_enter(&on_master);
    redis_begin(d->command, words[0]);
    for (size_t i = 1; words[i]; i++)
        redis_arg_text(d->command, words[i]);
    return redis_send(d->link, d->command, timeout_ms, door_answer, a);
}

int world_begin_with(void **state, bool tcp, const char *const *args)
{
    struct world *w = calloc(1, sizeof *w);
    *state = w;
    if (w)
        w->server = redis_server_start(tcp, args);
    return w && w->server ? 0 : -1;
}

int world_begin(void **state)
{
    if (world_begin_with(state, true, NULL) < 0)
        return -1;
    struct world *w = *state;
    struct redis_options o = door_options(redis_server_url(w->server));
    return door_open(&w->door, &o);
}

int world_end(void **state)
{
    struct world *w = *state;
    if (!w)
        return 0;
    door_close(&w->door);
    (void)redis_server_stop(w->server);
    free(w);
    return 0;
}
