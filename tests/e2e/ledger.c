/* What was run, from what the daemon printed, and what is in Redis, read in one step each. */
#include "tests/e2e/scene.h"

#include <hiredis/hiredis.h>

void push(struct scene *s, const char *queue, const char *payload)
{
    assert_true(ask_int(s, "LPUSH %s %s", queue, payload) > 0);
}

void push_numbers(struct scene *s, const char *queue, const char *prefix, unsigned first,
                  unsigned n)
{
    static const char script[] =
        "for i = ARGV[2], ARGV[2] + ARGV[3] - 1 do "
        "redis.call('LPUSH', KEYS[1], ARGV[1] .. string.format('%06d', i)) end return 1";
    assert_int_equal(ask_int(s, "EVAL %s 1 %s %s %u %u", script, queue, prefix, first, n), 1);
}

long long stat_of(struct scene *s, const char *queue, const char *name)
{
    const char *v = ask_text(s, "HGET rpopd:{%s}:stats %s", queue, name);
    return v ? atoll(v) : -1;
}

/* Numbers behind a prefix ------------------------------------------------------------------------
 */

/* -1: it is none of ours. */
static long number_of(const char *text, size_t len, const char *prefix)
{
    size_t skip = strlen(prefix);
    char digits[7] = "";
    if (len != skip + 6 || memcmp(text, prefix, skip) != 0)
        return -1;
    memcpy(digits, text + skip, 6);
    return strspn(digits, "0123456789") == 6 ? atol(digits) : -1;
}

struct count {
    unsigned *of, n;
    struct tally t;
};

static void count_one(struct count *c, const char *text, size_t len, const char *prefix)
{
    long i = number_of(text, len, prefix);
    c->t.total++;
    if (i < 0 || i >= c->n)
        return;
    if (c->of[i]++ == 0)
        c->t.distinct++;
    if (c->of[i] > c->t.most)
        c->t.most = c->of[i];
}

static struct count count_new(unsigned n)
{
    struct count c = {.of = calloc(n + 1, sizeof *c.of), .n = n};
    if (!c.of)
        fail_msg("no memory");
    return c;
}

/* The payload of the next line `<verb> <payload>`; NULL at the end. */
static const char *next_line(const char **text, const char *verb, size_t *ret_len)
{
    size_t skip = strlen(verb);
    for (const char *line = *text, *end; (end = strchr(line, '\n')); line = end + 1)
        if (strncmp(line, verb, skip) == 0 && line[skip] == ' ') {
            *text = end + 1;
            *ret_len = (size_t)(end - line) - skip - 1;
            return line + skip + 1;
        }
    return NULL;
}

static void count_lines(struct count *c, struct daemon *d, const char *verb, const char *prefix)
{
    const char *text = daemon_out(d, NULL), *payload;
    size_t len;
    while ((payload = next_line(&text, verb, &len)))
        count_one(c, payload, len, prefix);
}

struct tally printed(struct scene *s, const char *verb, const char *prefix, unsigned n)
{
    struct count c = count_new(n);
    count_lines(&c, s->daemon, verb, prefix);
    free(c.of);
    return c.t;
}

struct tally printed_by_all(struct daemon *const *all, unsigned daemons, const char *verb,
                            const char *prefix, unsigned n)
{
    struct count c = count_new(n);
    for (unsigned i = 0; i < daemons; i++)
        count_lines(&c, all[i], verb, prefix);
    free(c.of);
    return c.t;
}

struct tally printed_by_both(struct scene *s, const char *verb, const char *prefix, unsigned n)
{
    return printed_by_all((struct daemon *const[]){s->daemon, s->second}, 2, verb, prefix, n);
}

/* Of one look at the output: a job has printed the one before the other. */
unsigned running(struct scene *s)
{
    const char *text = daemon_out(s->daemon, NULL), *rest = text;
    unsigned n = 0;
    size_t len;
    while (next_line(&rest, "Waiting", &len))
        n++;
    while (next_line(&text, "Done", &len))
        n--;
    return n;
}

unsigned printed_order(struct scene *s, const char *verb, const char *prefix, unsigned *ret_numbers,
                       unsigned max)
{
    const char *text = daemon_out(s->daemon, NULL), *payload;
    unsigned n = 0;
    size_t len;
    while (n < max && (payload = next_line(&text, verb, &len))) {
        long i = number_of(payload, len, prefix);
        if (i >= 0)
            ret_numbers[n++] = (unsigned)i;
    }
    return n;
}

/* Redis -----------------------------------------------------------------------------------------
 */

/* Every payload of a queue that is not settled: all, or what one instance (`<name>:`) or any holds.
 * Bit i of a batch is its index -(i+1). */
static const char HELD[] =
    "local out = {} "
    "local p = 'rpopd:{' .. ARGV[1] .. '}:' "
    "local function add(key, acked) "
    "  local all = redis.call('LRANGE', key, 0, -1) "
    "  for i, v in ipairs(all) do "
    "    if not acked or redis.call('GETBIT', acked, #all - i) == 0 then out[#out + 1] = v end "
    "  end "
    "end "
    "if ARGV[2] == 'all' then add(ARGV[1]) add(p .. 'popped') end "
    "for _, k in ipairs(redis.call('KEYS', p .. 'inflight:' .. (ARGV[3] or '') .. '*')) do "
    "  add(k, p .. 'acked:' .. string.sub(k, #p + 10)) "
    "end "
    "return out";

static redisReply *list_of(struct scene *s, redisReply *r)
{
    if (!r || r->type != REDIS_REPLY_ARRAY) {
        print_error("Redis says: %s\n", r && r->str ? r->str : "nothing");
        scene_fail(s, "the keys cannot be read", __FILE__, __LINE__);
    }
    return r;
}

struct tally held(struct scene *s, const char *queue, const char *prefix, unsigned n)
{
    struct count c = count_new(n);
    redisReply *r = list_of(s, redis_server_run(s->redis, "EVAL %s 0 %s all", HELD, queue));
    for (size_t i = 0; i < r->elements; i++)
        count_one(&c, r->element[i]->str, r->element[i]->len, prefix);
    freeReplyObject(r);
    free(c.of);
    return c.t;
}

struct fates fates(struct scene *s, const char *queue, const char *prefix, unsigned n)
{
    struct fates f = {0};
    struct count done = count_new(n), kept = count_new(n);
    redisReply *r = list_of(s, redis_server_run(s->redis, "EVAL %s 0 %s all", HELD, queue));
    count_lines(&done, s->daemon, "Done", prefix);
    if (s->second)
        count_lines(&done, s->second, "Done", prefix);
    for (size_t i = 0; i < r->elements; i++)
        count_one(&kept, r->element[i]->str, r->element[i]->len, prefix);
    for (unsigned i = 0; i < n; i++) {
        f.nowhere += !done.of[i] && !kept.of[i];
        f.twice += done.of[i] && kept.of[i];
    }
    freeReplyObject(r);
    free(done.of);
    free(kept.of);
    return f;
}

static long long count_claimed(struct scene *s, redisReply *r)
{
    long long n = (long long)list_of(s, r)->elements;
    freeReplyObject(r);
    return n;
}

long long claimed(struct scene *s, const char *queue)
{
    return count_claimed(s, redis_server_run(s->redis, "EVAL %s 0 %s claimed", HELD, queue));
}

long long claimed_by(struct scene *s, const char *queue, const char *instance)
{
    return count_claimed(
        s, redis_server_run(s->redis, "EVAL %s 0 %s claimed %s:", HELD, queue, instance));
}

void lose_epoch(struct scene *s)
{
    static const char fence[] =
        "local epoch = string.match(redis.call('GET', KEYS[1]), '^1 (%S+)') "
        "redis.call('HSET', KEYS[2], epoch, redis.call('TIME')[1] .. '000 open') "
        "redis.call('DEL', KEYS[1]) return 1";
    unsigned before = daemon_logged(s->daemon, "event=epoch-lost");
    assert_int_equal(
        ask_int(s, "EVAL %s 2 rpopd:{queue}:owner:%s rpopd:{queue}:fenced", fence, s->instance), 1);
    scene_await(s, LIMIT_MS, daemon_logged(s->daemon, "event=epoch-lost") == before + 1);
}

unsigned listed_order(struct scene *s, const char *queue, const char *prefix, unsigned *ret_numbers,
                      unsigned max)
{
    redisReply *r = list_of(s, redis_server_run(s->redis, "LRANGE %s 0 -1", queue));
    unsigned n = 0;
    for (size_t i = r->elements; i-- > 0 && n < max;) { /* oldest first: from the right */
        long k = number_of(r->element[i]->str, r->element[i]->len, prefix);
        if (k >= 0)
            ret_numbers[n++] = (unsigned)k;
    }
    freeReplyObject(r);
    return n;
}

static bool may_stay(const char *key)
{
    const char *end = strncmp(key, "rpopd:", 6) == 0 ? strrchr(key, ':') : NULL;
    return end && (!strcmp(end, ":stats") || !strcmp(end, ":dead") || !strcmp(end, ":fenced"));
}

const char *left_over(struct scene *s)
{
    static char key[256];
    redisReply *r = list_of(s, redis_server_run(s->redis, "KEYS *"));
    key[0] = 0;
    for (size_t i = 0; i < r->elements && !key[0]; i++)
        if (!may_stay(r->element[i]->str))
            (void)snprintf(key, sizeof key, "%s", r->element[i]->str);
    freeReplyObject(r);
    return key;
}
