#include "daemon/trouble.h"

#include <inttypes.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "daemon/redis.h"

static const char *const places[] = {
    [TROUBLE_OWNER] = "register", [TROUBLE_CLAIM] = "claim",     [TROUBLE_POP] = "pop",
    [TROUBLE_SETTLE] = "settle",  [TROUBLE_RECOVER] = "recover",
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
    {"CLUSTERDOWN", "the cluster does not serve this slot"},
};

static const char *what_to_do(const char *code)
{
    for (size_t i = 0; i < sizeof advice / sizeof *advice; i++)
        if (strcmp(advice[i].code, code) == 0)
            return advice[i].what_to_do;
    return "trying again";
}

void trouble_is(struct trouble *t, enum trouble_at at, const char *queue,
                const struct redis_reply *r)
{
    char code[sizeof t->at[at].code] = "SHAPE", quoted_queue[LOG_QUOTE_MAX], quoted[LOG_QUOTE_MAX];
    const char *text = "an answer that no script gives";
    size_t len = strlen(text);
    if (r->type == REDIS_ERROR) {
        size_t n = strcspn(r->str, " ");
        if (n >= sizeof code)
            n = sizeof code - 1;
        memcpy(code, r->str, n);
        code[n] = '\0';
        text = r->str;
        len = r->len;
    }
    t->at[at].times++;
    if (strcmp(t->at[at].code, code) == 0)
        return;
    memcpy(t->at[at].code, code, sizeof code);
    t->at[at].since_ms = clock_now_ms();
    t->at[at].times = 1;
    log_warn("redis-refused", "queue=%s at=%s error=%s advice='%s'",
             log_quote(queue, strlen(queue), quoted_queue), places[at],
             log_quote(text, len, quoted), what_to_do(code));
}

void trouble_over(struct trouble *t, enum trouble_at at, const char *queue)
{
    char quoted_queue[LOG_QUOTE_MAX];
    if (!*t->at[at].code)
        return;
    log_info("redis-accepts", "queue=%s at=%s error=%s times=%" PRIu64 " after_ms=%" PRId64,
             log_quote(queue, strlen(queue), quoted_queue), places[at], t->at[at].code,
             t->at[at].times, clock_now_ms() - t->at[at].since_ms);
    *t->at[at].code = '\0';
}

const char *trouble_any(const struct trouble *t)
{
    for (unsigned i = 0; i < TROUBLE_PLACES; i++)
        if (*t->at[i].code)
            return t->at[i].code;
    return NULL;
}
