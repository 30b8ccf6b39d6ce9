#include "daemon/keys.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Redis hashes what stands between the first `{` and the next `}`, when that is not empty. */
static bool has_hash_tag(const char *name)
{
    const char *open = strchr(name, '{');
    const char *close = open ? strchr(open, '}') : NULL;
    return close && close > open + 1;
}

static char *make_prefix(const char *queue)
{
    char *prefix;
    int n = has_hash_tag(queue) ? asprintf(&prefix, "rpopd:t%zu:%s:", strlen(queue), queue)
                                : asprintf(&prefix, "rpopd:{%s}:", queue);
    return n < 0 ? NULL : prefix;
}

char *keys_join(const struct keys *k, const char *kind, const char *rest)
{
    char *key;
    return asprintf(&key, "%s%s%s", k->prefix, kind, rest) < 0 ? NULL : key;
}

int keys_init(struct keys *k, const char *queue, const char *instance)
{
    memset(k, 0, sizeof *k);
    k->prefix = make_prefix(queue);
    k->queue = strdup(queue);
    if (!k->prefix || !k->queue)
        goto fail;
    struct {
        char **key;
        const char *kind, *rest;
    } each[] = {
        {&k->none, "none", ""},       {&k->owner, "owner:", instance}, {&k->owners, "owners", ""},
        {&k->fenced, "fenced", ""},   {&k->paused, "paused", ""},      {&k->popped, "popped", ""},
        {&k->batches, "batches", ""}, {&k->stats, "stats", ""},        {&k->retry, "retry", ""},
        {&k->dead, "dead", ""},       {&k->delayed, "delayed", ""},
    };
    for (size_t i = 0; i < sizeof each / sizeof *each; i++)
        if (!(*each[i].key = keys_join(k, each[i].kind, each[i].rest)))
            goto fail;
    return 0;
fail:
    keys_deinit(k);
    return -ENOMEM;
}

void keys_deinit(struct keys *k)
{
    char *each[] = {k->queue,  k->prefix,  k->none,  k->owner, k->owners, k->fenced, k->paused,
                    k->popped, k->batches, k->stats, k->retry, k->dead,   k->delayed};
    for (size_t i = 0; i < sizeof each / sizeof *each; i++)
        free(each[i]);
    memset(k, 0, sizeof *k);
}

static bool begins(const char *text, const char *front)
{
    return strncmp(text, front, strlen(front)) == 0;
}

bool keys_is_kind(const char *rest)
{
    static const char *const whole[] = {"owners", "fenced", "paused", "popped", "batches",
                                        "stats",  "retry",  "dead",   "delayed"};
    static const char *const front[] = {"owner:", "inflight:", "acked:", "result:"};
    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++)
        if (strcmp(rest, whole[i]) == 0)
            return true;
    for (size_t i = 0; i < sizeof front / sizeof *front; i++)
        if (begins(rest, front[i]))
            return !strchr(rest, '}'); /* no instance or job has one in its name */
    return false;
}

/* Behind rpopd:t */
static const char *tagged(const char *length, size_t *ret_len)
{
    char *name;
    unsigned long n = strtoul(length, &name, 10);
    if (*length < '1' || *length > '9' || *name != ':' || n >= strlen(++name) || name[n] != ':' ||
        !keys_is_kind(name + n + 1))
        return NULL;
    *ret_len = n;
    return name;
}

const char *keys_queue(const char *key, size_t *ret_len)
{
    if (begins(key, "rpopd:t"))
        return tagged(key + 7, ret_len);
    if (!begins(key, "rpopd:{"))
        return NULL;
    const char *name = key + 7;
    for (const char *end = name; (end = strstr(end, "}:")); end++)
        if (keys_is_kind(end + 2)) {
            *ret_len = (size_t)(end - name);
            return name;
        }
    return NULL;
}
