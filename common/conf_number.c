#include "common/conf_number.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "common/text.h"

static size_t digits(const char *p, const char *end)
{
    const char *began = p;
    while (p < end && *p >= '0' && *p <= '9')
        p++;
    return (size_t)(p - began);
}

/* [+-] digits [. digits] [e [+-] digits], with a digit before or behind the point */
static bool is_float(const char *p, const char *end)
{
    p += p < end && (*p == '+' || *p == '-');
    size_t whole = digits(p, end), part = 0;
    p += whole;
    if (p < end && *p == '.') {
        part = digits(++p, end);
        p += part;
    }
    if (whole + part == 0)
        return false;
    if (p < end && (*p == 'e' || *p == 'E')) {
        p++;
        p += p < end && (*p == '+' || *p == '-');
        size_t power = digits(p, end);
        if (power == 0)
            return false;
        p += power;
    }
    return p == end;
}

static int digit_of(char c, int base)
{
    int v = -1;
    if (c >= '0' && c <= '9')
        v = c - '0';
    else if (c >= 'a' && c <= 'f')
        v = c - 'a' + 10;
    else if (c >= 'A' && c <= 'F')
        v = c - 'A' + 10;
    return v < base ? v : -1;
}

/* Reads all of it; false where it is no integer. What does not fit becomes the nearest that does.
 */
static bool read_integer(const char *p, const char *end, bool negative, int base, int64_t *ret)
{
    int64_t limit = negative ? INT64_MIN : INT64_MAX, v = 0;
    if (p == end)
        return false;
    for (; p < end; p++) {
        int d = digit_of(*p, base);
        if (d < 0)
            return false;
        if (v != limit && (__builtin_mul_overflow(v, base, &v) ||
                           __builtin_add_overflow(v, negative ? -d : d, &v)))
            v = limit;
    }
    *ret = v;
    return true;
}

int conf_number(const char *at, size_t len, char integer[CONF_INTEGER_MAX], struct err *e)
{
    const char *p = at, *end = at + len;
    char shown[40];
    int64_t v;
    bool negative = *p == '-';
    p += *p == '-' || *p == '+';
    bool hexadecimal = p == at && end - p > 2 && *p == '0' && (p[1] == 'x' || p[1] == 'X');
    p += hexadecimal ? 2 : 0;
    for (int i = 0; i < 2 && end > p && end[-1] == 'L'; i++)
        end--;
    if (read_integer(p, end, negative, hexadecimal ? 16 : 10, &v)) {
        if (!hexadecimal && *p == '0' && end - p > 1)
            return err_set(e, -EINVAL,
                           "%s begins with a zero, write the number in decimal without it",
                           text_quote(at, len, '\'', shown, sizeof shown));
        (void)snprintf(integer, CONF_INTEGER_MAX, "%jd%s", (intmax_t)v,
                       v < INT32_MIN || v > INT32_MAX ? "L" : "");
        return CONF_IS_INTEGER;
    }
    if (!hexadecimal && is_float(at, at + len))
        return CONF_IS_FLOAT;
    return err_set(
        e, -EINVAL,
        "%s is not a number, allowed are forms like 15, 0.5, 1e3 and 0x1f, without a unit",
        text_quote(at, len, '\'', shown, sizeof shown));
}
