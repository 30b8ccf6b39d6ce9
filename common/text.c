#include "common/text.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

static unsigned char byte_at(const char *p, const char *end, size_t i)
{
    return p + i < end ? (unsigned char)p[i] : 0;
}

static int continues(unsigned char c)
{
    return (c & 0xc0) == 0x80;
}

size_t text_utf8(const char *p, const char *end)
{
    unsigned char a = byte_at(p, end, 0), b = byte_at(p, end, 1);
    if (p < end && a < 0x80)
        return 1;
    if (a < 0xc2 || a > 0xf4 || !continues(b))
        return 0;
    if (a < 0xe0)
        return 2;
    if ((a == 0xe0 && b < 0xa0) || (a == 0xed && b > 0x9f) || !continues(byte_at(p, end, 2)))
        return 0;
    if (a < 0xf0)
        return 3;
    if ((a == 0xf0 && b < 0x90) || (a == 0xf4 && b > 0x8f) || !continues(byte_at(p, end, 3)))
        return 0;
    return 4;
}

static char short_escape(char c, char quote)
{
    switch (c) {
    case '\n':
        return 'n';
    case '\r':
        return 'r';
    case '\t':
        return 't';
    default:
        return c == '\\' || c == quote ? c : '\0';
    }
}

size_t text_escape_one(const char *p, const char *end, char quote, char out[TEXT_ESCAPED_MAX])
{
    static const char digits[] = "0123456789abcdef";
    unsigned char c = (unsigned char)*p;
    size_t n = text_utf8(p, end);
    char letter = short_escape(*p, quote);
    if (letter) {
        memcpy(out, (char[]){'\\', letter, '\0'}, 3);
        return 1;
    }
    /* U+0080 to U+009F steer a terminal like the control characters below a blank. */
    if (n == 0 || c < 0x20 || c == 0x7f || (c == 0xc2 && (unsigned char)p[1] < 0xa0)) {
        memcpy(out, (char[]){'\\', 'x', digits[c >> 4], digits[c & 15], '\0'}, 5);
        return 1;
    }
    memcpy(out, p, n);
    out[n] = '\0';
    return n;
}

const char *text_quote(const void *bytes, size_t len, char quote, char *out, size_t size)
{
    const char *p = bytes, *end = p + len;
    char one[TEXT_ESCAPED_MAX];
    size_t n = 0, cut = 1; /* cut: the last place where "...", the quote and a NUL still fit */
    out[n++] = quote;
    while (p < end) {
        if (n + 5 <= size)
            cut = n;
        p += text_escape_one(p, end, quote, one);
        size_t m = strlen(one);
        if (n + m + 2 > size) {
            memcpy(out + cut, (char[]){'.', '.', '.', quote, '\0'}, 5);
            return out;
        }
        memcpy(out + n, one, m);
        n += m;
    }
    out[n] = quote;
    out[n + 1] = '\0';
    return out;
}

#define NAME_MAX_BYTES 63

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

unsigned text_distance(const char *a, const char *b)
{
    unsigned row[3][NAME_MAX_BYTES + 1];
    size_t na = strlen(a), nb = strlen(b);
    if (na > NAME_MAX_BYTES || nb > NAME_MAX_BYTES)
        return UINT_MAX;
    for (unsigned j = 0; j <= nb; j++)
        row[0][j] = j;
    for (size_t i = 1; i <= na; i++) {
        unsigned *now = row[i % 3], *up = row[(i + 2) % 3], *up2 = row[(i + 1) % 3];
        now[0] = (unsigned)i;
        for (size_t j = 1; j <= nb; j++) {
            now[j] = least(least(up[j] + 1, now[j - 1] + 1), up[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                now[j] = least(now[j], up2[j - 2] + 1);
        }
    }
    return row[na % 3][nb];
}
