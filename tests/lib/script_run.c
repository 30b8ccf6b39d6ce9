#include "tests/lib/script_run.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#include <hiredis/hiredis.h>

#include "daemon/script.h"
#include "tests/lib/redis_server.h"

#define TEXTS 8
#define TEXT_MAX 65536
#define WORDS_MAX 2100
#define SHOWN_MAX 120

struct scripts {
    struct redis_server *server;
    redisContext *admin, *user;
    const char *hidden;
    char text[TEXTS][TEXT_MAX];
    unsigned next;
};

/* Values are shown as bytes where they are text; the rest of the format is in the header. */
static const char dump_script[] =
    "local function short(v)\n"
    "  if #v > 120 then return '<' .. #v .. '>' end\n"
    "  return (string.gsub(v, '%d%d%d%d%d%d%d%d%d%d%d%d%d+', 'T'))\n"
    "end\n"
    "local keys, out = redis.call('KEYS', '*'), {}\n"
    "table.sort(keys)\n"
    "for i, k in ipairs(keys) do\n"
    "  local t, v, part = redis.call('TYPE', k).ok, nil, {}\n"
    "  if t == 'list' then\n"
    "    for _, e in ipairs(redis.call('LRANGE', k, 0, -1)) do part[#part + 1] = short(e) end\n"
    "    v = '[' .. table.concat(part, ' ') .. ']'\n"
    "  elseif t == 'hash' then\n"
    "    local h = redis.call('HGETALL', k)\n"
    "    for j = 1, #h, 2 do part[#part + 1] = h[j] .. ':' .. short(h[j + 1]) end\n"
    "    table.sort(part)\n"
    "    v = '{' .. table.concat(part, ', ') .. '}'\n"
    "  elseif t == 'zset' then\n"
    "    for _, e in ipairs(redis.call('ZRANGE', k, 0, -1)) do part[#part + 1] = short(e) end\n"
    "    v = '(' .. table.concat(part, ' ') .. ')'\n"
    "  elseif string.sub(k, 1, 5) == 'acked' and t == 'string' then\n"
    "    for j = 0, redis.call('STRLEN', k) * 8 - 1 do\n"
    "      if redis.call('GETBIT', k, j) == 1 then part[#part + 1] = j end\n"
    "    end\n"
    "    v = '<' .. table.concat(part, ',') .. '>'\n"
    "  elseif t == 'string' then\n"
    "    v = '\"' .. short(redis.call('GET', k)) .. '\"'\n"
    "  else\n"
    "    v = t\n"
    "  end\n"
    "  if redis.call('PTTL', k) > 0 then k = k .. '~' end\n"
    "  out[i] = k .. '=' .. v\n"
    "end\n"
    "return table.concat(out, ' ')";

static char *next_text(struct scripts *s)
{
    char *text = s->text[s->next++ % TEXTS];
    *text = '\0';
    return text;
}

static void append(char *text, const char *what, size_t len)
{
    size_t n = strlen(text);
    if (n + len < TEXT_MAX) {
        memcpy(text + n, what, len);
        text[n + len] = '\0';
    }
}

static void append_reply(char *text, const redisReply *r)
{
    char number[32];
    switch (r->type) {
    case REDIS_REPLY_NIL:
        append(text, "nil", 3);
        return;
    case REDIS_REPLY_INTEGER:
        append(text, number, (size_t)snprintf(number, sizeof number, "%lld", r->integer));
        return;
    case REDIS_REPLY_ARRAY:
        append(text, "[", 1);
        for (size_t i = 0; i < r->elements; i++) {
            append(text, " ", i > 0);
            append_reply(text, r->element[i]);
        }
        append(text, "]", 1);
        return;
    case REDIS_REPLY_ERROR:
        append(text, "-", 1);
        append(text, r->str, r->len);
        return;
    default:
        if (r->len <= SHOWN_MAX)
            append(text, r->str, r->len);
        else
            append(text, number, (size_t)snprintf(number, sizeof number, "<%zu>", r->len));
    }
}

static const char *show(struct scripts *s, redisReply *r)
{
    char *text = next_text(s);
    if (r)
        append_reply(text, r);
    else
        append(text, "(no connection)", 15);
    if (r)
        freeReplyObject(r);
    return text;
}

/* Splits `text` in place at `mark` behind the n words that are there. */
static int split(char *text, const char *mark, const char *words[WORDS_MAX], int n)
{
    while (text && n < WORDS_MAX)
        words[n++] = strsep(&text, mark);
    return n;
}

static redisReply *run_words(redisContext *c, const char **words, int n)
{
    return redisCommandArgv(c, n, words, NULL);
}

/* The user may reach these keys alone. */
static void allow_keys(struct scripts *s, const char *const *keys, int n)
{
    char rules[64][80];
    const char *words[68] = {"ACL", "SETUSER", "script", "resetkeys"};
    int at = 4;
    for (int i = 0; i < n && i < 64; i++)
        if (!s->hidden || strcmp(keys[i], s->hidden) != 0) {
            (void)snprintf(rules[i], sizeof rules[i], "~%s", keys[i]);
            words[at++] = rules[i];
        }
    (void)show(s, run_words(s->admin, words, at));
}

const char *script_run(struct scripts *s, const char *name, const char *keys, const char *args)
{
    const struct redis_script *script = script_find(name);
    const char *words[WORDS_MAX] = {"EVAL", script->text, NULL, "none"};
    char nkeys[16], *key_text = strdup(keys), *arg_text = *args ? strdup(args) : NULL;
    int n = split(*keys ? key_text : NULL, " ", words, 4);
    (void)snprintf(nkeys, sizeof nkeys, "%d", n - 3);
    words[2] = nkeys;
    allow_keys(s, words + 3, n - 3);
    n = split(arg_text, "|", words, n);
    const char *text = show(s, run_words(s->user, words, n));
    free(key_text);
    free(arg_text);
    return text;
}

void script_refuse(struct scripts *s, const char *command)
{
    (void)redis_run(s, "ACL SETUSER script %s%s", command ? "-" : "+", command ? command : "@all");
}

void script_hide(struct scripts *s, const char *key)
{
    s->hidden = key;
}

const char *redis_run(struct scripts *s, const char *fmt, ...)
{
    char line[8192];
    const char *words[WORDS_MAX];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    int n = split(line, strchr(line, '|') ? "|" : " ", words, 0);
    return show(s, run_words(s->admin, words, n));
}

const char *redis_dump(struct scripts *s)
{
    const char *words[] = {"EVAL", dump_script, "0"};
    redisReply *r = run_words(s->admin, words, 3);
    if (!r || r->type != REDIS_REPLY_STRING)
        return show(s, r);
    char *text = next_text(s);
    append(text, r->str, r->len);
    freeReplyObject(r);
    return text;
}

static redisContext *connect_to(struct scripts *s)
{
    redisContext *c = redisConnectUnix(redis_server_socket(s->server));
    if (!c || c->err) {
        if (c)
            redisFree(c);
        return NULL;
    }
    (void)redisSetTimeout(c, (struct timeval){.tv_sec = 30});
    return c;
}

int scripts_begin(void **state)
{
    struct scripts *s = calloc(1, sizeof *s);
    *state = s;
    if (!s || !(s->server = redis_server_start(false, NULL)) || !(s->admin = connect_to(s)) ||
        !(s->user = connect_to(s)))
        return -1;
    (void)redis_run(s, "ACL SETUSER script on nopass +@all");
    const char *words[] = {"AUTH", "script", "any"};
    return strcmp(show(s, run_words(s->user, words, 3)), "OK");
}

int scripts_end(void **state)
{
    struct scripts *s = *state;
    if (!s)
        return 0;
    if (s->admin)
        redisFree(s->admin);
    if (s->user)
        redisFree(s->user);
    (void)redis_server_stop(s->server);
    free(s);
    return 0;
}

int scripts_clear(void **state)
{
    struct scripts *s = *state;
    script_hide(s, NULL);
    script_refuse(s, NULL);
    (void)redis_run(s, "CONFIG SET maxmemory 0");
    return strcmp(redis_run(s, "FLUSHALL"), "OK");
}
