#include "daemon/resp.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

/*
 *           + -                        $ n > max_bulk
 *   LINE <------- ITEM ---------------------------------> SKIP
 *     |   CRLF   ^ | ^ $ n                                  | n + CRLF: the stand-in is fed
 *     +----------+ | +---> BULK ---+                        |
 *                  |        n + CRLF                        |
 *                  +<-------------------------------------- +
 */
enum { ITEM, LINE, BULK, SKIP };

void resp_init(struct resp *s, size_t max_bulk, size_t max_reply)
{
    *s = (struct resp){.max_bulk = max_bulk, .max_reply = max_reply, .state = ITEM};
}

/* -?(0|[1-9][0-9]*), in the range of int64_t, and no -0: what a server prints and what hiredis
 * takes. */
static bool read_number(const char *at, const char *end, int64_t *ret)
{
    bool negative = at < end && *at == '-';
    const char *first = at + negative;
    int64_t v = 0;
    if (first == end || (*first == '0' && (end - first > 1 || negative)))
        return false;
    for (const char *p = first; p < end; p++) {
        if (*p < '0' || *p > '9' || __builtin_mul_overflow(v, 10, &v) ||
            __builtin_sub_overflow(v, *p - '0', &v)) /* downwards: INT64_MIN has no positive twin */
            return false;
    }
    if (!negative && v == INT64_MIN)
        return false;
    *ret = negative ? v : -v;
    return true;
}

static int bad_byte(char c, struct err *e)
{
    if (c > 0x20 && c < 0x7f)
        return err_set(e, -EPROTO,
                       "the peer does not speak the Redis protocol: '%c' begins no reply", c);
    return err_set(e, -EPROTO,
                   "the peer does not speak the Redis protocol: byte 0x%02x begins no reply",
                   (unsigned)(unsigned char)c);
}

/* An item is complete: so are the arrays that end with it. */
static void item_ends(struct resp *s, struct resp_part *part)
{
    s->state = ITEM;
    part->item = true;
    while (s->depth > 0 && --s->open[s->depth] == 0)
        s->depth--;
    if (s->depth > 0)
        return;
    part->whole = true;
    s->kept = 0;
    s->elements = 0;
}

static int begin_array(struct resp *s, int64_t n, struct resp_part *part, struct err *e)
{
    if (n < -1)
        return err_set(e, -EPROTO, "an array of %lld items was announced", (long long)n);
    if (n > RESP_ELEMENTS_MAX - (int64_t)s->elements)
        return err_set(e, -EMSGSIZE, "an array of %lld items was announced: a reply may have %d",
                       (long long)n, RESP_ELEMENTS_MAX);
    if (s->depth == RESP_DEPTH_MAX)
        return err_set(e, -EMSGSIZE, "more than %d arrays within each other", RESP_DEPTH_MAX);
    if (n <= 0) {
        item_ends(s, part);
        return 0;
    }
    s->elements += (uint32_t)n;
    s->open[++s->depth] = (uint32_t)n;
    return 0;
}

static int begin_bulk(struct resp *s, int64_t n, struct resp_part *part, struct err *e)
{
    if (n < -1)
        return err_set(e, -EPROTO, "a string of %lld bytes was announced", (long long)n);
    if (n > RESP_BULK_MAX)
        return err_set(e, -EMSGSIZE,
                       "a string of %lld bytes was announced: Redis has none over %lld",
                       (long long)n, (long long)RESP_BULK_MAX);
    if (n == -1) {
        item_ends(s, part);
        return 0;
    }
    if ((size_t)n > s->max_reply - s->kept)
        return err_set(e, -EMSGSIZE, "a reply of more than %zu bytes", s->max_reply);
    s->kept += (size_t)n;
    s->state = BULK;
    s->left = n + 2;
    return 0;
}

/* The line of a length or an integer. 0: read, *ret_len of it; 1: not all of it is here. */
static int read_head(const char *in, size_t len, int64_t *ret_n, size_t *ret_len, struct err *e)
{
    size_t room = len < RESP_HEAD_MAX ? len : RESP_HEAD_MAX;
    const char *end = memchr(in, '\r', room);
    if (!end && room < RESP_HEAD_MAX)
        return 1;
    if (end && end + 1 == in + len && len < RESP_HEAD_MAX)
        return 1;
    if (!end || end + 1 >= in + room || end[1] != '\n' || !read_number(in + 1, end, ret_n))
        return err_set(e, -EPROTO, "no number stands behind '%c' in a reply", in[0]);
    *ret_len = (size_t)(end + 2 - in);
    return 0;
}

/* Writes the stand-in line; no printf: it runs once a skipped string, with digits alone. */
static size_t stand_in(char out[RESP_HEAD_MAX + 1], int64_t n)
{
    char digits[20];
    size_t count = 0, at = 0;
    do
        digits[count++] = (char)('0' + n % 10);
    while (n /= 10);
    out[at++] = '+';
    out[at++] = '\0';
    while (count)
        out[at++] = digits[--count];
    out[at++] = '\r';
    out[at++] = '\n';
    return at;
}

bool resp_is_stand_in(const char *line, size_t len, size_t *ret_len)
{
    int64_t n;
    if (len < 2 || line[0] != '\0' || !read_number(line + 1, line + len, &n) || n < 0)
        return false;
    *ret_len = (size_t)n;
    return true;
}

/* Bytes of a status or error line; a CR or LF inside it is refused. 1: it goes on behind what is
 * here. */
static int scan_line(struct resp *s, const char *in, size_t len, size_t *used,
                     struct resp_part *part, struct err *e)
{
    const char *at = in + *used, *end = in + len;
    const char *cr = memchr(at, '\r', (size_t)(end - at));
    const char *stop = cr ? cr : end;
    if (!s->left && at < end && !*at) /* it could be taken for a stand-in */
        return err_set(e, -EPROTO, "a status or error reply begins with a NUL byte");
    if (memchr(at, '\n', (size_t)(stop - at)))
        return err_set(e, -EPROTO, "a line feed within a status or error reply");
    s->left += stop - at;
    s->kept += (size_t)(stop - at);
    if (s->kept > s->max_reply)
        return err_set(e, -EMSGSIZE, "a reply of more than %zu bytes", s->max_reply);
    if (s->left > RESP_LINE_MAX)
        return err_set(e, -EMSGSIZE, "a status or error reply of more than %d bytes",
                       RESP_LINE_MAX);
    *used = (size_t)(stop - in);
    if (!cr || cr + 1 == end)
        return 1;
    if (cr[1] != '\n')
        return err_set(e, -EPROTO, "a carriage return within a status or error reply");
    *used += 2;
    item_ends(s, part);
    return 0;
}

/* Bytes of a string and the CRLF behind it. 1: it goes on behind what is here. */
static int scan_bulk(struct resp *s, const char *in, size_t len, size_t *used, struct err *e)
{
    static const char crlf[] = "\r\n";
    int64_t here = (int64_t)(len - *used) < s->left ? (int64_t)(len - *used) : s->left;
    for (int64_t i = s->left > 2 ? s->left - 2 : 0; i < here;
         i++) /* i counts from here, left to the end of the CRLF */
        if (in[*used + (size_t)i] != crlf[2 - (s->left - i)])
            return err_set(e, -EPROTO, "a string in a reply is longer than was announced");
    *used += (size_t)here;
    s->left -= here;
    return s->left > 0;
}

static int begin_item(struct resp *s, const char *in, size_t len, size_t *used,
                      struct resp_part *part, struct err *e)
{
    const char *at = in + *used;
    int64_t n = 0;
    size_t head = 0;
    if (*at == '+' || *at == '-') {
        s->state = LINE;
        s->left = 0;
        ++*used;
        return 0;
    }
    if (*at != ':' && *at != '$' && *at != '*')
        return bad_byte(*at, e);
    int r = read_head(at, len - *used, &n, &head, e);
    if (r)
        return r;
    if (*at == '$' && n > 0 && (size_t)n > s->max_bulk && n <= RESP_BULK_MAX) {
        if (*used) /* what stands before it is fed first */
            return 1;
        s->state = SKIP;
        s->skipped = n;
        s->left = n + 2;
    }
    *used += head;
    if (*at == '*')
        return begin_array(s, n, part, e);
    if (*at == '$' && s->state == ITEM)
        return begin_bulk(s, n, part, e);
    if (*at == ':')
        item_ends(s, part);
    return 0;
}

/* Goes on in a string that is skipped: nothing of it is fed, and behind its end the stand-in. */
static int skip(struct resp *s, const char *in, size_t len, struct resp_part *part, struct err *e)
{
    int r = scan_bulk(s, in, len, &part->used, e);
    if (r)
        return r < 0 ? r : 0;
    part->feed_len = stand_in(s->stand_in, s->skipped);
    part->feed = s->stand_in;
    item_ends(s, part);
    return 0;
}

int resp_scan(struct resp *s, const char *in, size_t len, struct resp_part *ret_part, struct err *e)
{
    size_t used = 0;
    int r = 0;
    *ret_part = (struct resp_part){.feed = in};
    if (s->state == SKIP)
        return skip(s, in, len, ret_part, e);
    while (r == 0 && used < len && !ret_part->whole && s->state != SKIP) {
        if (s->state == ITEM)
            r = begin_item(s, in, len, &used, ret_part, e);
        else if (s->state == LINE)
            r = scan_line(s, in, len, &used, ret_part, e);
        else if ((r = scan_bulk(s, in, len, &used, e)) == 0)
            item_ends(s, ret_part);
    }
    if (r < 0)
        return r;
    ret_part->used = used;
    ret_part->feed_len = s->state == SKIP ? 0 : used; /* SKIP begins a part: its head is not fed */
    return 0;
}
