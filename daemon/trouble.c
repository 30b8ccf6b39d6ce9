#include "daemon/trouble.h"

#include <inttypes.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "daemon/redis.h"

#define QUIET_MS 2000 /* what comes again sooner has not ended */

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

static unsigned other_place(const struct trouble *t, unsigned than, const char *code)
{
    unsigned i = 0;
    while (i < TROUBLE_PLACES && (i == than || strcmp(t->at[i].code, code) != 0))
        i++;
    return i;
}

/* What is put into lines as it is. */
static bool is_of_code(char c)
{
    return c > ' ' && c <= '~' && c != '\'' && c != '\\';
}

void trouble_is(struct trouble *t, enum trouble_at at, const char *queue,
                const struct redis_reply *r)
{
    char code[sizeof t->at[at].code] = "SHAPE", quoted_queue[LOG_QUOTE_MAX], quoted[LOG_QUOTE_MAX];
    const char *text = "an answer that no script gives";
    size_t len = strlen(text);
    if (r->type == REDIS_ERROR) {
        if (is_of_code(*r->str)) { /* an error without a first word is one too */
            size_t n = 0;
            for (; n < sizeof code - 1 && is_of_code(r->str[n]); n++)
                code[n] = r->str[n];
            code[n] = '\0';
        }
        text = r->str;
        len = r->len;
    }
    t->at[at].times++;
    t->at[at].last_ms = clock_now_ms();
    t->at[at].over = false;
    if (strcmp(t->at[at].code, code) == 0)
        return;
    bool told = other_place(t, at, code) < TROUBLE_PLACES;
    memcpy(t->at[at].code, code, sizeof code);
    t->at[at].since_ms = t->at[at].last_ms;
    t->at[at].times = 1;
    t->at[at].told = !told;
    if (told)
        return;
    log_warn("redis-refused", "queue=%s at=%s error=%s advice='%s'",
             log_quote(queue, strlen(queue), quoted_queue), places[at],
             log_quote(text, len, quoted), what_to_do(code));
}

void trouble_over(struct trouble *t, enum trouble_at at)
{
    t->at[at].over = true;
}

static void ended(struct trouble *t, unsigned at, const char *queue)
{
    char quoted_queue[LOG_QUOTE_MAX];
    unsigned other = other_place(t, at, t->at[at].code);
    bool told = t->at[at].told;
    if (told && other < TROUBLE_PLACES)
        t->at[other].told = true; /* its end is the end of both */
    else if (told)
        log_info("redis-accepts", "queue=%s at=%s error=%s times=%" PRIu64 " after_ms=%" PRId64,
                 log_quote(queue, strlen(queue), quoted_queue), places[at], t->at[at].code,
                 t->at[at].times, clock_now_ms() - t->at[at].since_ms);
    *t->at[at].code = '\0';
}

void trouble_look(struct trouble *t, const char *queue)
{
    for (unsigned i = 0; i < TROUBLE_PLACES; i++)
        if (*t->at[i].code && t->at[i].over && clock_now_ms() - t->at[i].last_ms >= QUIET_MS)
            ended(t, i, queue);
}

const char *trouble_place(enum trouble_at at)
{
    return places[at];
}

const char *trouble_any(const struct trouble *t)
{
    for (unsigned i = 0; i < TROUBLE_PLACES; i++)
        if (*t->at[i].code)
            return t->at[i].code;
    return NULL;
}
