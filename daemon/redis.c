#include "daemon/redis.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "common/clock.h"
#include "common/log.h"
#include "daemon/redis_link.h"

bool redis_is_payload(const struct redis_reply *r)
{
    return r->type == REDIS_STRING || r->type == REDIS_LARGE;
}

bool redis_is_error(const struct redis_reply *r, const char *code)
{
    size_t n = strlen(code);
    return r && r->type == REDIS_ERROR && r->len >= n && memcmp(r->str, code, n) == 0 &&
           (r->len == n || r->str[n] == ' ');
}

bool redis_is_too_large(const struct redis_reply *r)
{
    return redis_is_error(r, "ERR") && strncmp(r->str, "ERR Protocol error", 18) == 0;
}

bool redis_is(const struct redis_reply *r, const char *text)
{
    return r && (r->type == REDIS_STATUS || r->type == REDIS_STRING) && r->len == strlen(text) &&
           memcmp(r->str, text, r->len) == 0;
}

/* The server ---------------------------------------------------------------------------------- */

static char *copy_of(const char *first, const char *second)
{
    return strdup(first && *first ? first : second);
}

static void wipe(char *text)
{
    if (text)
        explicit_bzero(text, strlen(text));
    free(text);
}

static void on_resolved(const struct redis_addresses *a, const struct err *why, void *data)
{
    struct redis *r = data;
    if (a->n)
        r->addresses = *a;
    for (struct redis_link *l = r->links, *next; l; l = next) {
        next = l->next; /* without addresses only DOWN is reached, and no callback runs: nobody
                           frees a link here */
        if (l->state == LINK_RESOLVING)
            redis_link_resolved(l, a->n ? NULL : why);
    }
}

static void unix_address(const char *path, struct redis_addresses *ret)
{
    struct sockaddr_un *un = (struct sockaddr_un *)&ret->at[0].addr;
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, path, strlen(path) + 1);
    ret->at[0].len = sizeof *un;
    ret->n = 1;
}

static bool RUNS_ON(on_master) find_addresses(struct redis *r)
{
    if (r->url.scheme == URL_UNIX)
        unix_address(r->url.path, &r->addresses);
    else
        r->asks = !redis_resolve_digits(r->url.host, r->url.port, &r->addresses);
    if (r->asks)
        r->resolver = redis_resolver_new(r->loop, r->url.host, r->url.port, on_resolved, r);
    return !r->asks || r->resolver;
}

/* All that was sent in this turn of the loop goes out by one write a link. A cut in here runs
 * callbacks, and these may send more over other links. */
static void on_turn(struct ev_loop *loop, ev_prepare *w, int revents)
{
    struct redis *r = w->data;
    (void)loop, (void)revents;
    thread_assert(&on_master);
    while (r->dirty) {
        struct redis_link *l = r->dirty;
        r->dirty = l->next_dirty;
        l->dirty = false;
        redis_pipe_flush(l);
    }
}

static bool copy_options(struct redis *r, const struct redis_options *o)
{
    r->username = copy_of(o->username, r->url.user);
    r->password = copy_of(o->password, r->url.password);
    r->client_name = copy_of(o->client_name, "");
    explicit_bzero(r->url.password, sizeof r->url.password);
    r->connect_timeout_ms = o->connect_timeout_ms;
    r->command_timeout_ms = o->command_timeout_ms;
    r->max_bulk = o->max_bulk;
    return r->username && r->password && r->client_name;
}

struct redis *redis_new(struct ev_loop *loop, const struct redis_options *o, struct err *e)
{
    struct url url;
    if (url_parse(o->url, &url, e) < 0)
        return NULL;
    struct redis *r = calloc(1, sizeof *r);
    if (r) {
        r->loop = loop;
        r->url = url;
        ev_prepare_init(&r->turn, on_turn);
        ev_set_priority(&r->turn, EV_MINPRI); /* behind everyone else's end of the turn */
        r->turn.data = r;
    }
    explicit_bzero(&url, sizeof url);
    if (!r || !copy_options(r, o) || !find_addresses(r)) {
        (void)err_set(e, -ENOMEM, "no memory for a link to Redis");
        return redis_free(r);
    }
    (void)url_print(&r->url, r->address);
    ev_prepare_start(loop, &r->turn);
    return r;
}

struct redis *redis_free(struct redis *r)
{
    if (!r)
        return NULL;
    while (r->links)
        (void)redis_link_free(r->links);
    ev_prepare_stop(r->loop, &r->turn);
    (void)redis_resolver_free(r->resolver);
    free(r->username);
    wipe(r->password);
    free(r->client_name);
    free(r);
    return NULL;
}

const char *redis_address(const struct redis *r)
{
    return r->address;
}

const char *redis_trouble(const struct redis *r)
{
    return r->trouble;
}

bool redis_ever_connected(const struct redis *r)
{
    return r->ever_connected;
}

uint64_t redis_reconnects(const struct redis *r)
{
    return r->reconnects;
}

uint64_t redis_progress(const struct redis *r)
{
    return r->progress;
}

/* What an operator is told: trouble begins with the first link that fails and ends when the last is
 * back */

/* What keeps the links from coming back is not what cut them: a second line an outage, where it is
 * the server's own word or a shortage here. */
static bool is_news(struct redis *r, const struct err *why)
{
    switch (why->code) {
    case -EAGAIN: /* an error in the place of a greeting's answer */
    case -EMFILE:
    case -ENFILE:
    case -ENOBUFS:
    case -ENOMEM:
        break;
    default:
        return false;
    }
    bool news = !r->cause_logged;
    r->cause_logged = true;
    return news;
}

void redis_link_is_lost(struct redis_link *l, const struct err *why, bool refused)
{
    struct redis *r = l->server;
    char quoted[LOG_QUOTE_MAX];
    bool first = r->lost == 0;
    r->progress++;
    memcpy(r->trouble, why->text, sizeof r->trouble);
    if (first)
        r->lost_ms = clock_now_ms();
    if (!l->lost)
        r->lost++;
    l->lost = true;
    bool news = is_news(r, why);
    if (!first && !news && (!refused || r->refusal_logged))
        return;
    r->refusal_logged = r->refusal_logged || refused;
    log_warn(refused             ? "redis-refused"
             : r->ever_connected ? "redis-lost"
                                 : "redis-waiting",
             "address=%s why=%s", r->address, log_quote(why->text, strlen(why->text), quoted));
}

static void one_less(struct redis_link *l)
{
    struct redis *r = l->server;
    if (!l->lost)
        return;
    l->lost = false;
    if (--r->lost)
        return;
    r->trouble[0] = '\0';
    r->refusal_logged = r->cause_logged = false;
}

void redis_link_is_back(struct redis_link *l)
{
    struct redis *r = l->server;
    bool ends = l->lost && r->lost == 1;
    r->ever_connected = true;
    r->reconnects += l->was_up;
    l->was_up = true;
    one_less(l);
    if (ends)
        log_info("redis-up", "address=%s after=%lldms", r->address,
                 (long long)(clock_now_ms() - r->lost_ms));
}

void redis_link_is_gone(struct redis_link *l)
{
    one_less(l);
}
