/* A request under way: what its command calls, and where it goes on. */
#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/text.h"
#include "daemon/admin_client.h"
#include "daemon/master.h"
#include "daemon/queue.h"

#define FULL_BYTES ((size_t)256 << 10)

static const struct {
    void (*run)(struct admin_call *c);
} commands[ADMIN_COMMANDS] = {
    [ADMIN_STATUS] = {admin_status},       [ADMIN_JOBS] = {admin_jobs},
    [ADMIN_CANCEL] = {admin_cancel},       [ADMIN_DEAD_LIST] = {admin_dead_list},
    [ADMIN_DEAD_SHOW] = {admin_dead_show}, [ADMIN_DEAD_RETRY] = {admin_dead_take},
    [ADMIN_DEAD_DROP] = {admin_dead_take}, [ADMIN_FSCK] = {admin_fsck},
};

json_t *admin_text(const char *bytes, size_t len)
{
    json_t *text = json_stringn(bytes, len);
    if (text)
        return text;
    size_t size = len * TEXT_ESCAPED_MAX + 8;
    char *escaped = malloc(size);
    text = escaped ? json_string(text_quote(bytes, len, '"', escaped, size)) : NULL;
    free(escaped);
    return text;
}

struct master *admin_master(struct admin_call *c)
{
    return c->master;
}

const struct admin_request *admin_request(const struct admin_call *c)
{
    return &c->request;
}

int64_t admin_uptime_ms(const struct admin_call *c)
{
    return c->uptime_ms;
}

bool admin_gone(const struct admin_call *c)
{
    return !c->client;
}

bool admin_full(const struct admin_call *c)
{
    return c->client && c->client->out.len - c->client->written >= FULL_BYTES;
}

void admin_call_go_on(struct admin_call *c)
{
    admin_fn fn = c->fn;
    ev_timer_stop(c->master->loop, &c->timer);
    c->fn = NULL;
    fn(c, c->data);
}

static void on_call_timer(struct ev_loop *loop, ev_timer *w, int revents)
{
    (void)loop, (void)revents;
    thread_assert(&on_master);
    struct admin_call *c = w->data;
    if (!admin_full(c)) /* else it goes on when its client has read */
        admin_call_go_on(c);
}

void admin_later(struct admin_call *c, int64_t ms, admin_fn fn, void *data)
{
    assert(!c->fn);
    c->fn = fn;
    c->data = data;
    if (!c->client)
        return admin_call_go_on(c);
    ev_timer_set(&c->timer, (double)ms / 1000, 0);
    ev_timer_start(c->master->loop, &c->timer);
}

void admin_resume(struct admin_call *c, admin_fn fn, void *data)
{
    admin_later(c, 0, fn, data);
}

static void call_free(struct admin_call *c)
{
    ev_timer_stop(c->master->loop, &c->timer);
    if (c->client) {
        c->client->call = NULL;
        ev_timer_again(c->master->loop, &c->client->quiet);
    }
    admin_request_clear(&c->request);
    free(c);
}

void admin_item(struct admin_call *c, json_t *item)
{
    if (c->client)
        admin_client_say(c->client, item ? json_pack("{s:o}", "item", item) : NULL);
    else
        json_decref(item);
}

void admin_ok(struct admin_call *c, json_t *more)
{
    json_t *line = json_pack("{s:b}", "ok", 1);
    if (line && more && json_object_update(line, more) < 0) {
        json_decref(line);
        line = NULL;
    }
    json_decref(more);
    if (c->client)
        admin_client_say(c->client, line);
    else
        json_decref(line);
    call_free(c);
}

void admin_fail(struct admin_call *c, const char *fmt, ...)
{
    char sentence[1024];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(sentence, sizeof sentence, fmt, args);
    va_end(args);
    if (c->client)
        admin_client_refuse(c->client, sentence);
    call_free(c);
}

void admin_refused(struct admin_call *c, const struct redis_reply *r)
{
    if (!r)
        admin_fail(c, "Redis does not answer: %s; what was asked may have been done in part",
                   redis_link_up(c->master->work) ? "the connection was lost"
                                                  : redis_trouble(c->master->redis));
    else if (r->type == REDIS_ERROR)
        admin_fail(c, "Redis refuses it: %.900s", r->str);
    else
        admin_fail(c, "Redis gives an answer that no script gives");
}

struct queue *admin_queue(struct admin_call *c)
{
    struct master *m = c->master;
    const char *name = c->request.queue;
    char quoted[128];
    for (size_t i = 0; i < m->nqueues; i++)
        if (strcmp(m->queues[i]->conf->name, name) == 0)
            return m->queues[i];
    admin_fail(c,
               "queue %s is not in the configuration of this daemon: rpopctl status lists "
               "those that are",
               text_quote(name, strlen(name), '\'', quoted, sizeof quoted));
    return NULL;
}

int admin_call_begin(struct admin_client *client, struct admin_request *request)
{
    struct admin *a = client->admin;
    struct admin_call *c = calloc(1, sizeof *c);
    if (!c) {
        admin_request_clear(request);
        return -ENOMEM;
    }
    *c = (struct admin_call){.client = client,
                             .master = a->master,
                             .request = *request,
                             .uptime_ms = clock_now_ms() - a->since_ms};
    client->call = c;
    ev_timer_init(&c->timer, on_call_timer, 0, 0);
    c->timer.data = c;
    commands[c->request.command].run(c);
    return 0;
}
