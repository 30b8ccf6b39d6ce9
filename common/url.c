#include "common/url.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "common/callout.h"

#define DEFAULT_PORT 6379

struct span {
    const char *at;
    size_t len;
};

static bool digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool letter_or_digit(char c)
{
    return digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static int hex(char c)
{
    if (digit(c))
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* Decimal digits and nothing else; -1 where it is no number up to `max`. */
static long number(struct span s, long max)
{
    long v = 0;
    if (!s.len)
        return -1;
    for (size_t i = 0; i < s.len; i++) {
        if (!digit(s.at[i]))
            return -1;
        v = v * 10 + (s.at[i] - '0');
        if (v > max)
            return -1;
    }
    return v;
}

/* Undoes %XX into out[max + 1]. */
static int decode(const char *what, struct span s, char *out, size_t max, struct err *e)
{
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++) {
        int c = (unsigned char)s.at[i];
        if (c < 0x20 || c == 0x7f)
            return err_set(e, -EINVAL, "the %s in the url holds a control character: write %%%02X",
                           what, (unsigned)c);
        if (c == '%') {
            int hi = i + 2 < s.len ? hex(s.at[i + 1]) : -1;
            int lo = i + 2 < s.len ? hex(s.at[i + 2]) : -1;
            if (hi < 0 || lo < 0)
                return err_set(e, -EINVAL,
                               "the %s in the url holds a %% without two hex digits behind it",
                               what);
            c = hi * 16 + lo;
            i += 2;
        }
        if (!c)
            return err_set(e, -EINVAL, "the %s in the url holds a NUL byte", what);
        if (n == max)
            return err_set(e, -EINVAL, "the %s in the url is longer than %zu bytes", what, max);
        out[n++] = (char)c;
    }
    out[n] = '\0';
    return 0;
}

static int parse_userinfo(struct span s, struct url *u, struct err *e)
{
    const char *colon = memchr(s.at, ':', s.len);
    struct span user = {s.at, colon ? (size_t)(colon - s.at) : s.len};
    int r = decode("user", user, u->user, URL_USER_MAX, e);
    if (r < 0 || !colon)
        return r;
    struct span password = {colon + 1, s.len - user.len - 1};
    return decode("password", password, u->password, URL_PASSWORD_MAX, e);
}

static int parse_db(struct span s, struct url *u, struct err *e)
{
    long db = number(s, INT_MAX);
    if (db < 0)
        return err_set(e, -EINVAL, "the database in the url, '%.*s', is not a number from 0 to %d",
                       (int)(s.len > 40 ? 40 : s.len), s.at, INT_MAX);
    u->db = (int)db;
    return 0;
}

static bool host_char(char c, bool in_brackets)
{
    if (in_brackets)
        return letter_or_digit(c) || strchr(":.%-_", c);
    return letter_or_digit(c) || strchr(".-_", c);
}

static int parse_host(struct span s, bool in_brackets, struct url *u, struct err *e)
{
    if (!s.len)
        return err_set(e, -EINVAL, "the url names no host, as in redis://127.0.0.1:6379/0");
    if (s.len > URL_HOST_MAX)
        return err_set(e, -EINVAL, "the host in the url is %zu bytes long; %d at most", s.len,
                       URL_HOST_MAX);
    for (size_t i = 0; i < s.len; i++)
        if (!s.at[i] || !host_char(s.at[i], in_brackets))
            return err_set(e, -EINVAL,
                           "byte %zu of the host in the url is none of A-Z a-z 0-9 . - _ (an IPv6 "
                           "address stands in [brackets])",
                           i + 1);
    memcpy(u->host, s.at, s.len);
    u->host[s.len] = '\0';
    return 0;
}

static int parse_port(struct span s, struct url *u, struct err *e)
{
    long port = number(s, 65535);
    if (port < 1)
        return err_set(e, -EINVAL, "the port in the url, '%.*s', is not a number from 1 to 65535",
                       (int)(s.len > 40 ? 40 : s.len), s.at);
    u->port = (uint16_t)port;
    return 0;
}

/* "host", "host:port", "[v6]", "[v6]:port" */
static int parse_server(struct span s, struct url *u, struct err *e)
{
    bool in_brackets = s.len && s.at[0] == '[';
    const char *end = memchr(s.at, in_brackets ? ']' : ':', s.len);
    if (in_brackets && !end)
        return err_set(e, -EINVAL, "the [ of the host in the url has no ]");
    struct span host = {s.at + in_brackets,
                        (size_t)((end ? end : s.at + s.len) - s.at) - in_brackets};
    struct span rest = {host.at + host.len + in_brackets,
                        s.len - host.len - 2 * (size_t)in_brackets};
    int r = parse_host(host, in_brackets, u, e);
    if (r < 0)
        return r;
    u->port = DEFAULT_PORT;
    if (!rest.len)
        return 0;
    if (rest.at[0] != ':')
        return err_set(e, -EINVAL, "only :port may follow the ] of the host in the url");
    return parse_port((struct span){rest.at + 1, rest.len - 1}, u, e);
}

static int parse_redis(struct span authority, const char *tail, struct url *u, struct err *e)
{
    int r = parse_server(authority, u, e);
    if (r < 0 || !*tail || !strcmp(tail, "/"))
        return r;
    return parse_db((struct span){tail + 1, strlen(tail + 1)}, u, e);
}

static int parse_unix(struct span authority, const char *tail, struct url *u, struct err *e)
{
    if (authority.len || *tail != '/')
        return err_set(e, -EINVAL,
                       "a unix url names an absolute path, as in unix:///run/redis/redis.sock");
    const char *query = strchr(tail, '?');
    struct span path = {tail, query ? (size_t)(query - tail) : strlen(tail)};
    int r = decode("path", path, u->path, URL_PATH_MAX, e);
    if (r < 0 || !query)
        return r;
    if (strncmp(query, "?db=", 4) != 0)
        return err_set(e, -EINVAL, "only ?db=<number> may follow the path in the url");
    return parse_db((struct span){query + 4, strlen(query + 4)}, u, e);
}

/* Behind "scheme://" */
static int parse_rest(const char *text, struct url *u, struct err *e)
{
    size_t len = strcspn(text, "/?");
    struct span authority = {text, len};
    const char *at = memrchr(text, '@', len);
    if (at) {
        int r = parse_userinfo((struct span){text, (size_t)(at - text)}, u, e);
        if (r < 0)
            return r;
        authority = (struct span){at + 1, len - (size_t)(at + 1 - text)};
    }
    if (u->scheme == URL_UNIX)
        return parse_unix(authority, text + len, u, e);
    if (strchr(text + len, '@')) /* before a sentence could quote a piece of a password */
        return err_set(
            e, -EINVAL,
            "in the user and the password of the url / is written %%2F and ? is written %%3F");
    return parse_redis(authority, text + len, u, e);
}

int url_parse(const char *text, struct url *ret_url, struct err *e)
{
    struct url u = {.scheme = URL_REDIS};
    int r;
    if (!strncmp(text, "redis://", 8)) {
        r = parse_rest(text + 8, &u, e);
    } else if (!strncmp(text, "unix://", 7)) {
        u.scheme = URL_UNIX;
        r = parse_rest(text + 7, &u, e);
    } else if (!strncmp(text, "rediss://", 9)) {
        r = err_set(e, -EINVAL,
                    "rediss:// needs TLS, which is not built in; use redis:// or unix://");
    } else {
        r = err_set(e, -EINVAL,
                    "the url begins with neither redis:// nor unix://, as in "
                    "redis://127.0.0.1:6379/0");
    }
    if (r == 0)
        *ret_url = u;
    return r;
}

/* Escapes what would end the part it stands in; returns the end. */
static char *encode(char *out, const char *text, const char *plain)
{
    for (; *text; text++) {
        if (letter_or_digit(*text) || strchr(plain, *text))
            *out++ = *text;
        else
            out += sprintf(out, "%%%02X", (unsigned)(unsigned char)*text);
    }
    *out = '\0';
    return out;
}

struct print_call {
    const struct url *u;
    char *out;
};

static void print_now(void *arg)
{
    const struct print_call *c = arg;
    const struct url *u = c->u;
    char *out = c->out;
    out = stpcpy(out, u->scheme == URL_UNIX ? "unix://" : "redis://");
    if (u->user[0]) {
        out = encode(out, u->user, ".-_~");
        *out++ = '@';
    }
    if (u->scheme == URL_UNIX) {
        out = encode(out, u->path, "/.-_~@:+,=");
        if (u->db)
            (void)sprintf(out, "?db=%d", u->db);
    } else if (strchr(u->host, ':')) {
        (void)sprintf(out, "[%s]:%u/%d", u->host, u->port, u->db);
    } else {
        (void)sprintf(out, "%s:%u/%d", u->host, u->port, u->db);
    }
}

const char *url_print(const struct url *u, char out[URL_TEXT_MAX])
{
    struct print_call call = {u, out};
    callout(print_now, &call);
    return out;
}
