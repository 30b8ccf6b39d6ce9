#include "daemon/trouble.h"

#include <inttypes.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "daemon/redis.h"

#define QUIET_MS 2000   /* what comes again sooner has not ended */
#define FORGET_MS 60000 /* ... nor what gave way to others */

static const char *const places[] = {
    [TROUBLE_OWNER] = "register",  [TROUBLE_CLAIM] = "claim",     [TROUBLE_POP] = "pop",
    [TROUBLE_SETTLE] = "settle",   [TROUBLE_RECOVER] = "recover", [TROUBLE_DUE] = "retries",
    [TROUBLE_DELAYED] = "delayed", [TROUBLE_DELIVER] = "deliver",
};

static const struct {
    const char *code, *what_to_do;
} advice[] = {
    {"WRONGTYPE", "a key has another type: rename or delete it"},
    {"NOPERM", "grant the user that right (ACL SETUSER)"},
    {"NOAUTH", "set redis.username and redis.password_file"},
    {"OOM", "raise maxmemory; lists are drained meanwhile"},
    {"READONLY", "this is a replica: point redis.url at the master"},
    {"MASTERDOWN", "the replica has lost its master"},
    {"LOADING", "Redis reads its data; waiting"},
    {"BUSY", "a script blocks Redis: SCRIPT KILL ends it"},
    {"MISCONF", "Redis cannot save to disk: look at its log"},
    {"NOREPLICAS", "too few replicas: look at min-replicas-to-write"},
    {"CROSSSLOT", "on a Cluster all lists of a queue share one hash tag"},
    {"CLUSTERDOWN", "the cluster does not serve this slot"},
};

static const char *what_to_do(const char *code)
{
    for (size_t i = 0; i < sizeof advice / sizeof *advice; i++)
        if (strcmp(advice[i].code, code) == 0)
            return advice[i].what_to_do;
    return "trying again";
}

static unsigned bit(enum trouble_at at)
{
    return 1u << at;
}

static bool is_present(const struct cause *c)
{
    return *c->code && c->places & ~c->superseded;
}

static bool is_forgotten(const struct cause *c, int64_t now)
{
    return !is_present(c) && now - c->last_ms >= FORGET_MS;
}

/* The cause of that code, or room for it; NULL: there is none. */
static struct cause *find(struct trouble *t, const char *code, int64_t now)
{
    struct cause *room = NULL;
    for (struct cause *c = t->cause; c < t->cause + TROUBLE_CAUSES; c++) {
        if (strcmp(c->code, code) == 0)
            return c;
        if (!room && (!*c->code || is_forgotten(c, now)))
            room = c;
    }
    return room;
}

/* What is put into lines as it is. */
static bool is_of_code(char c)
{
    return c > ' ' && c <= '~' && c != '\'' && c != '\\';
}

/* An error without a first word is one too. */
static void code_of(const struct redis_reply *r, char *code, size_t size)
{
    size_t n = 0;
    if (r->type != REDIS_ERROR || !is_of_code(*r->str)) {
        (void)strcpy(code, "SHAPE");
        return;
    }
    for (; n < size - 1 && is_of_code(r->str[n]); n++)
        code[n] = r->str[n];
    code[n] = '\0';
}

static void tell(const struct cause *c, const char *queue, const struct redis_reply *r)
{
    static const char shape[] = "an answer that no script gives";
    char quoted_queue[LOG_QUOTE_MAX], quoted[LOG_QUOTE_MAX];
    bool error = r->type == REDIS_ERROR;
    log_warn("redis-refused", "queue=%s at=%s error=%s advice='%s'",
             log_quote(queue, strlen(queue), quoted_queue), places[c->at],
             log_quote(error ? r->str : shape, error ? r->len : sizeof shape - 1, quoted),
             what_to_do(c->code));
}

void trouble_is(struct trouble *t, enum trouble_at at, const char *queue,
                const struct redis_reply *r)
{
    char code[sizeof t->cause->code];
    int64_t now = clock_now_ms();
    code_of(r, code, sizeof code);
    struct cause *c = find(t, code, now);
    if (!c)
        return;
    bool new = strcmp(c->code, code) != 0 || is_forgotten(c, now);
    if (new) {
        *c = (struct cause){.at = at, .since_ms = now};
        (void)strcpy(c->code, code);
    }
    for (struct cause *other = t->cause; other < t->cause + TROUBLE_CAUSES; other++)
        other->superseded |= other->places & bit(at);
    c->places |= bit(at);
    c->over &= ~bit(at);
    c->superseded &= ~bit(at);
    c->last_ms = now;
    c->times++;
    if (new)
        tell(c, queue, r);
}

void trouble_over(struct trouble *t, enum trouble_at at)
{
    for (struct cause *c = t->cause; c < t->cause + TROUBLE_CAUSES; c++)
        c->over |= c->places & bit(at);
}

static void ended(struct cause *c, const char *queue)
{
    char quoted[LOG_QUOTE_MAX];
    log_info("redis-accepts", "queue=%s at=%s error=%s times=%" PRIu64 " after_ms=%" PRId64,
             log_quote(queue, strlen(queue), quoted), places[c->at], c->code, c->times,
             clock_now_ms() - c->since_ms);
    *c = (struct cause){0};
}

void trouble_look(struct trouble *t, const char *queue)
{
    for (struct cause *c = t->cause; c < t->cause + TROUBLE_CAUSES; c++)
        if (*c->code && c->places == c->over && clock_now_ms() - c->last_ms >= QUIET_MS)
            ended(c, queue);
}

const char *trouble_place(enum trouble_at at)
{
    return places[at];
}

const char *trouble_code(const struct trouble *t, enum trouble_at at)
{
    for (const struct cause *c = t->cause; c < t->cause + TROUBLE_CAUSES; c++)
        if (c->places & ~c->superseded & bit(at))
            return c->code;
    return NULL;
}

const char *trouble_any(const struct trouble *t)
{
    for (const struct cause *c = t->cause; c < t->cause + TROUBLE_CAUSES; c++)
        if (is_present(c))
            return c->code;
    return NULL;
}
