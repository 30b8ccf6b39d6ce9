#include "tests/e2e/results.h"

#include <hiredis/hiredis.h>

void results_use_daemon(void)
{
    char path[4096];
    const char *named = getenv("RPOPD");
    (void)snprintf(path, sizeof path, "%s", named ? named : "build/rpopd");
    (void)snprintf(strrchr(path, '/') + 1, 64, "tests/e2e/rpopd-results");
    (void)setenv("RPOPD", path, 1);
}

struct results results_of(struct scene *s, const char *list, const char *front)
{
    static const char script[] =
        "local ids, numbers, n, m, all = {}, {}, 0, 0, redis.call('LRANGE', KEYS[1], 0, -1) "
        "for _, e in ipairs(all) do "
        "  local id, result = string.match(e, '^(%S+)\\n(.*)$') "
        "  if id and not ids[id] then ids[id] = 1 n = n + 1 end "
        "  local x = result and string.sub(result, 1, #ARGV[1]) == ARGV[1] and "
        "            string.match(string.sub(result, #ARGV[1] + 1), '^%d%d%d%d%d%d$') "
        "  if x and not numbers[x] then numbers[x] = 1 m = m + 1 end "
        "end return {#all, n, m}";
    struct results t = {0};
    redisReply *r = redis_server_run(s->redis, "EVAL %s 1 %s %s", script, list, front);
    if (!r || r->type != REDIS_REPLY_ARRAY || r->elements != 3)
        fail_msg("%s: %s", list, r && r->type == REDIS_REPLY_ERROR ? r->str : "no answer");
    t.total = (unsigned)r->element[0]->integer;
    t.ids = (unsigned)r->element[1]->integer;
    t.numbers = (unsigned)r->element[2]->integer;
    freeReplyObject(r);
    return t;
}

unsigned results_equal(struct scene *s, const char *list, const char *bytes, size_t len)
{
    return (unsigned)ask_int(s, "EVAL %s 1 %s %b",
                             "local n = 0 "
                             "for _, e in ipairs(redis.call('LRANGE', KEYS[1], 0, -1)) do "
                             "if e == ARGV[1] then n = n + 1 end end return n",
                             list, bytes, len);
}

static bool is_large(const redisReply *e, size_t len, char byte)
{
    const char *p = memchr(e->str, '\n', e->len), *end = e->str + e->len;
    if (!p || (size_t)(end - ++p) != len)
        return false;
    while (p < end && *p == byte)
        p++;
    return p == end;
}

/* Out here: a script that looked at such bytes would hold up the daemon. */
unsigned results_take_large(struct scene *s, const char *list, size_t len, char byte)
{
    unsigned found = 0;
    for (long long n = ask_int(s, "LLEN %s", list); n > 0; n--) {
        redisReply *e = redis_server_run(s->redis, "RPOP %s", list);
        assert_true(e && e->type == REDIS_REPLY_STRING);
        if (is_large(e, len, byte))
            found++;
        else
            (void)ask_int(s, "LPUSH %s %b", list, e->str, e->len);
        freeReplyObject(e);
    }
    return found;
}
