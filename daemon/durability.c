#include "daemon/durability.h"

#include <stdio.h>
#include <string.h>

#include "common/log.h"
#include "daemon/master.h"

/* The value of a line `<name>:<value>\r\n`; "" where there is none. */
static void value_of(const char *info, const char *name, char *ret_value, size_t size)
{
    const char *at = strstr(info, name);
    *ret_value = '\0';
    if (!at)
        return;
    at += strlen(name);
    (void)snprintf(ret_value, size, "%.*s", (int)strcspn(at, "\r\n"), at);
}

static void on_memory(struct redis_link *link, const struct redis_reply *r, void *data)
{
    (void)link;
    thread_assert(&on_master);
    struct master *m = data;
    char policy[32];
    m->durability_known = r != NULL; /* cut: asked again on the next connection */
    if (!r || r->type != REDIS_STRING)
        return;
    value_of(r->str, "\nmaxmemory_policy:", policy, sizeof policy);
    if (*policy && strcmp(policy, "noeviction") != 0)
        log_warn("redis-may-evict",
                 "maxmemory-policy=%s what='a full Redis deletes keys, and the jobs in them' "
                 "advice='CONFIG SET maxmemory-policy noeviction'",
                 policy);
}

static void on_persistence(struct redis_link *link, const struct redis_reply *r, void *data)
{
    (void)link, (void)data;
    char appends[8];
    if (!r || r->type != REDIS_STRING)
        return;
    value_of(r->str, "\naof_enabled:", appends, sizeof appends);
    if (strcmp(appends, "0") == 0)
        log_info("redis-is-volatile",
                 "appendonly=no what='jobs since its last snapshot are gone when Redis crashes'");
}

static void RUNS_ON(on_master) ask(struct master *m, const char *section, redis_fn fn)
{
    redis_begin(m->command, "INFO");
    redis_arg_text(m->command, section);
    (void)redis_send(m->control, m->command, 0, fn, m);
}

void durability_ask(struct master *m)
{
    if (m->durability_known)
        return;
    ask(m, "persistence", on_persistence);
    ask(m, "memory", on_memory);
}
