/* What a hostile payload is, and what it must not have done to log and dead letters. */
#include "tests/e2e/witness.h"

#include <hiredis/hiredis.h>
#include <jansson.h>

#include "common/base64.h"
#include "common/text.h"

/* Payloads --------------------------------------------------------------------------------------
 */

#define B(text)                \
    {                          \
        text, sizeof(text) - 1 \
    }

static const struct bytes hostile[] = {
    B(""),
    B("\0"),
    B("a\0b\0\0"),
    B("\n"),
    B("\n\n\n\n\n"),
    B("\r\n"),
    B("\xff\xfe\xc0\x80\xed\xa0\x80\xf8\x88"),
    B("\xef\xbb\xbfmark"),
    B("$(id) ; id | id & `id` \\ ' \" > /dev/null"),
    B("'; exit 0; '"),
    B("--help"),
    B("-rf /"),
    B("%s%n%n%n%1000000d"),
    B("{payload}"),
    B("{queue}{id}{payload}%7Bpayload%7D"),
    B("a\r\nX-Evil: 1\r\n\r\nGET / HTTP/1.1\r\n"),
    B("{\"id\":\"x\",\"status\":\"dead\",\"error\":\"evil\",\"len\":0}\n"),
    B("{\"id\":\"x\",\"queue\":\"queue\",\"attempt\":1,\"deadline\":null,\"len\":5}\nhello"),
    B("0123456789abcdef.1-1-0 1 9 0 1 1 {\"reason\":\"evil\"}\nx"),
    B("1 0123456789abcdef.1-1 0 0 -"),
    B("retry-after: 5"),
    B("retry-after: 5\nretry-after: 0\n"),
    B("RPOPD_QUEUE=evil"),
    B("RPOPD_JOB_ID=evil\0RPOPD_QUEUE=evil\0"),
    B("time=2026-01-01T00:00:00.000Z level=error event=evil\n"),
    B("x' id=evil event='evil' y='\n"),
    B("{\"time\":\"x\",\"level\":\"error\",\"event\":\"evil\"}\n"),
    B("PRIORITY=0\nMESSAGE=evil\nRPOPD_EVENT=evil\n"),
    B("\033[2J\033]0;evil\007\b\b\b\x9b\xc2\x9b"),
    B("2026-01-01 00:00:00.000 error evil\r"),
    B("*3\r\n$3\r\nSET\r\n$1\r\nx\r\n$1\r\ny\r\n"),
    B("\xe2\x80\xa8\xe2\x80\xae\xe2\x80\xac"),
};

size_t witness_payloads(const struct bytes **ret_all)
{
    *ret_all = hostile;
    return sizeof hostile / sizeof *hostile;
}

char *witness_large(size_t len)
{
    char *bytes = malloc(len + 1);
    uint64_t x = 88172645463325252u;
    assert_non_null(bytes);
    for (size_t i = 0; i < len; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        bytes[i] = (char)(x >> 32);
    }
    return bytes;
}

/* The log ---------------------------------------------------------------------------------------
 */

static void refuse(const char *line, size_t len, const char *why)
{
    char shown[1000];
    fail_msg("a line of the log %s: %s", why, text_quote(line, len, '\'', shown, sizeof shown));
}

static void check_characters(const char *line, size_t len)
{
    const char *end = line + len;
    for (size_t n; line < end; line += n) {
        n = text_utf8(line, end);
        if (!n || (unsigned char)*line < ' ' || *line == 0x7f)
            refuse(line, (size_t)(end - line), "holds what is no character, from here");
    }
}

static void check_event(const char *event)
{
    if (!event || !*event || strspn(event, "abcdefghijklmnopqrstuvwxyz-") != strlen(event) ||
        !strcmp(event, "evil"))
        fail_msg("'%s' is no event", event ? event : "nothing");
}

static void check_json(const char *line, size_t len)
{
    json_error_t e;
    json_t *o = json_loadb(line, len, JSON_REJECT_DUPLICATES, &e);
    if (!json_is_object(o))
        refuse(line, len, e.text);
    check_event(json_string_value(json_object_get(o, "event")));
    assert_string_not_equal(json_string_value(json_object_get(o, "level")), "error");
    json_decref(o);
}

/* `key=value`, `key='value'`, with blanks between; a quote ends a value where none of it follows.
 */
static void check_pairs(const char *line, size_t len, const char *at)
{
    static const char key[] = "abcdefghijklmnopqrstuvwxyz_";
    const char *end = line + len;
    while (at < end) {
        size_t n = strspn(at, key);
        if (!n || at[n] != '=')
            refuse(line, len, "has no `key=` where one should be");
        at += n + 1;
        if (*at == '\'') {
            for (at++; at < end && !(*at == '\'' && (at[1] == ' ' || !at[1])); at++)
                at += *at == '\\';
            at++;
        } else {
            at += strcspn(at, " ");
        }
        if (at > end || (at < end && *at++ != ' '))
            refuse(line, len, "has something behind a value");
    }
}

static void check_words(const char *line, size_t len, bool text)
{
    char level[16], event[64];
    int n = 0;
    const char *fmt = text ? "%*4d-%*2d-%*2d %*2d:%*2d:%*2d.%*3d %15[a-z] %63[a-z-]%n"
                           : "time=%*[0-9T:.-]Z level=%15[a-z] event=%63[a-z-]%n";
    if (sscanf(line, fmt, level, event, &n) != 2 || !n)
        refuse(line, len, "does not begin as one");
    check_event(event);
    assert_string_not_equal(level, "error");
    check_characters(line, len);
    if (line[n] == ' ')
        n++;
    check_pairs(line, len, line + n);
}

void witness_check_log(struct scene *s, const char *format)
{
    size_t len;
    const char *at = daemon_err(s->daemon, &len), *end = at + len;
    char *line = malloc(len + 1);
    assert_non_null(line);
    for (const char *stop; at < end; at = stop + 1) {
        stop = memchr(at, '\n', (size_t)(end - at));
        assert_non_null(stop); /* a line has an end */
        size_t n = (size_t)(stop - at);
        memcpy(line, at, n);
        line[n] = '\0';
        if (!strcmp(format, "json"))
            check_json(line, n);
        else
            check_words(line, n, !strcmp(format, "text"));
    }
    free(line);
}

/* Dead letters ----------------------------------------------------------------------------------
 */

static bool output_is(const json_t *evidence, struct bytes output)
{
    const json_t *plain = json_object_get(evidence, "output");
    const json_t *coded = json_object_get(evidence, "output_base64");
    if (plain)
        return json_string_length(plain) == output.len &&
               memcmp(json_string_value(plain), output.at, output.len) == 0;
    char *want = base64_encode(output.at, output.len);
    assert_non_null(want);
    bool same = coded ? !strcmp(json_string_value(coded), want) : output.len == 0;
    free(want);
    return same;
}

/* `<id> <version> <attempt> <strikes> <first> <last> <evidence>\n<payload>` */
static bool is_letter_of(const redisReply *record, struct bytes payload, struct bytes output)
{
    const char *at = record->str, *end = memchr(at, '\n', record->len);
    assert_non_null(end);
    size_t len = record->len - (size_t)(end + 1 - record->str);
    if (len != payload.len || memcmp(end + 1, payload.at, len) != 0)
        return false;
    for (int blanks = 0; blanks < 6; blanks++)
        at = (const char *)memchr(at, ' ', (size_t)(end - at)) + 1;
    json_error_t e;
    json_t *evidence = json_loadb(at, (size_t)(end - at), JSON_ALLOW_NUL, &e);
    if (!evidence)
        fail_msg("evidence: %s", e.text);
    bool same = output_is(evidence, output);
    json_decref(evidence);
    return same;
}

unsigned witness_letters(struct scene *s, struct bytes payload, struct bytes output)
{
    redisReply *all = redis_server_run(s->redis, "ZRANGE rpopd:{queue}:dead 0 -1");
    unsigned n = 0;
    assert_non_null(all);
    for (size_t i = 0; i < all->elements; i++)
        n += is_letter_of(all->element[i], payload, output);
    freeReplyObject(all);
    return n;
}
