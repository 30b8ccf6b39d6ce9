#include "common/log_line.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/text.h"

static const char *level_word(enum conf_log_level level)
{
    static const char *const words[] = {"debug", "info", "warning", "error"};
    return words[level];
}

/* A line under construction; what does not fit is left out and `cut` is set. */
struct line {
    char *at;
    size_t len, size;
    bool cut;
};

static void put(struct line *l, const char *bytes, size_t len)
{
    if (l->cut || l->len + len > l->size) {
        l->cut = true;
        return;
    }
    memcpy(l->at + l->len, bytes, len);
    l->len += len;
}

static void put_word(struct line *l, const char *text)
{
    put(l, text, strlen(text));
}

/* Keeps a line one line, and a terminal from being steered. Escapes that are there already stay. */
static void put_plain(struct line *l, const char *text)
{
    char one[TEXT_ESCAPED_MAX];
    const char *end = text + strlen(text);
    while (text < end) {
        if (*text == '\\') {
            put(l, text++, 1);
            continue;
        }
        text += text_escape_one(text, end, '\\', one);
        put_word(l, one);
    }
}

/* Pairs ------------------------------------------------------------------------------------------
 */

static char unescaped(char c)
{
    return c == 'n' ? '\n' : c == 'r' ? '\r' : c == 't' ? '\t' : c;
}

/* Behind the opening quote; returns what follows the closing one. */
static const char *take_quoted(const char *p, struct log_pair *ret)
{
    for (; *p; p++) {
        if (*p == '\'' && (p[1] == ' ' || !p[1]))
            return p + 1;
        if (*p == '\\' && p[1] && strchr("nrt\\'", p[1]))
            ret->value[ret->value_len++] = unescaped(*++p);
        else
            ret->value[ret->value_len++] = *p;
    }
    return p;
}

bool log_pair_next(const char **pairs, struct log_pair *ret)
{
    const char *p = *pairs + strspn(*pairs, " ");
    if (!*p)
        return false;
    ret->key = p;
    ret->key_len = strcspn(p, "= ");
    ret->value_len = 0;
    p += ret->key_len;
    p += *p == '=';
    ret->quoted = *p == '\'';
    if (ret->quoted) {
        p = take_quoted(p + 1, ret);
    } else {
        ret->value_len = strcspn(p, " ");
        memcpy(ret->value, p, ret->value_len);
        p += ret->value_len;
    }
    *pairs = p;
    return true;
}

/* Lines ------------------------------------------------------------------------------------------
 */

static size_t end_line(struct line *l)
{
    if (l->cut) {
        memcpy(l->at + l->len, "...", 3);
        l->len += 3;
    }
    l->at[l->len++] = '\n';
    return l->len;
}

static void put_pairs(struct line *l, const struct log_record *r)
{
    if (*r->pairs)
        put_word(l, " ");
    put_plain(l, r->pairs);
}

static void put_time(struct line *l, int64_t wall_ms, bool local)
{
    char text[64], ms[8];
    time_t s = (time_t)(wall_ms / 1000);
    struct tm tm = {0};
    (void)(local ? localtime_r(&s, &tm) : gmtime_r(&s, &tm));
    size_t n = strftime(text, sizeof text, local ? "%Y-%m-%d %H:%M:%S" : "%Y-%m-%dT%H:%M:%S", &tm);
    put(l, text, n);
    (void)snprintf(ms, sizeof ms, ".%03u", (unsigned)(wall_ms % 1000) % 1000);
    put_word(l, ms);
    put_word(l, local ? "" : "Z");
}

size_t log_line_text(const struct log_record *r, bool colour, char out[LOG_LINE_MAX])
{
    struct line l = {.at = out, .size = LOG_LINE_MAX - 4};
    const char *paint = r->level == CONF_LOG_ERROR     ? "\033[31m"
                        : r->level == CONF_LOG_WARNING ? "\033[33m"
                                                       : "";
    bool painted = colour && *paint;
    put_time(&l, r->wall_ms, true);
    put_word(&l, " ");
    put_word(&l, painted ? paint : "");
    put_word(&l, level_word(r->level));
    put_word(&l, painted ? "\033[0m" : "");
    put_word(&l, " ");
    put_plain(&l, r->event);
    put_pairs(&l, r);
    return end_line(&l);
}

size_t log_line_keyvalue(const struct log_record *r, char out[LOG_LINE_MAX])
{
    struct line l = {.at = out, .size = LOG_LINE_MAX - 4};
    put_word(&l, "time=");
    put_time(&l, r->wall_ms, false);
    put_word(&l, " level=");
    put_word(&l, level_word(r->level));
    put_word(&l, " event=");
    put_plain(&l, r->event);
    put_pairs(&l, r);
    return end_line(&l);
}

size_t log_line_message(const struct log_record *r, char out[LOG_LINE_MAX])
{
    struct line l = {.at = out, .size = LOG_LINE_MAX - 4};
    put_plain(&l, r->event);
    put_pairs(&l, r);
    return end_line(&l) - 1;
}

/* JSON -------------------------------------------------------------------------------------------
 */

static void put_json_one(struct line *l, const char *p, size_t n)
{
    char escaped[16];
    unsigned c = (unsigned char)*p;
    if (n == 0)
        (void)snprintf(escaped, sizeof escaped, "\\\\x%02x", c);
    else if (c == '"' || c == '\\')
        (void)snprintf(escaped, sizeof escaped, "\\%c", (char)c);
    else if (c < 0x20 || c == 0x7f)
        (void)snprintf(escaped, sizeof escaped, "\\u%04x", c);
    else {
        put(l, p, n);
        return;
    }
    put_word(l, escaped);
}

static void put_json_text(struct line *l, const char *p, size_t len)
{
    const char *end = p + len;
    put_word(l, "\"");
    while (p < end) {
        size_t n = text_utf8(p, end);
        put_json_one(l, p, n);
        p += n ? n : 1;
    }
    put_word(l, "\"");
}

/* Bare integers that every reader keeps exact. */
static bool is_json_number(const struct log_pair *pair)
{
    const char *p = pair->value, *end = p + pair->value_len;
    p += p < end && *p == '-';
    if (pair->quoted || p == end || end - p > 15 || (*p == '0' && end - p > 1))
        return false;
    while (p < end && *p >= '0' && *p <= '9')
        p++;
    return p == end;
}

static void put_json_pair(struct line *l, const struct log_pair *pair)
{
    put_word(l, ",");
    put_json_text(l, pair->key, pair->key_len);
    put_word(l, ":");
    if (is_json_number(pair))
        put(l, pair->value, pair->value_len);
    else
        put_json_text(l, pair->value, pair->value_len);
}

#define JSON_CUT ",\"cut\":true"

size_t log_line_json(const struct log_record *r, char out[LOG_LINE_MAX])
{
    struct line l = {.at = out, .size = LOG_LINE_MAX - sizeof JSON_CUT - 2};
    struct log_pair pair;
    const char *pairs = r->pairs;
    put_word(&l, "{\"time\":\"");
    put_time(&l, r->wall_ms, false);
    put_word(&l, "\",\"level\":\"");
    put_word(&l, level_word(r->level));
    put_word(&l, "\",\"event\":");
    put_json_text(&l, r->event, strnlen(r->event, 100));
    while (!l.cut && log_pair_next(&pairs, &pair)) {
        size_t whole = l.len;
        put_json_pair(&l, &pair);
        if (l.cut)
            l.len = whole; /* half a pair is not JSON */
    }
    if (l.cut) {
        memcpy(out + l.len, JSON_CUT, sizeof JSON_CUT - 1);
        l.len += sizeof JSON_CUT - 1;
    }
    out[l.len++] = '}';
    out[l.len++] = '\n';
    return l.len;
}
