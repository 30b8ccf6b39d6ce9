#include "worker/handler/http_date.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct date {
    int year, month, day, hour, minute, second; /* month and day from 1 */
    bool short_year;
};

static const char *const days[] = {"Monday", "Tuesday",  "Wednesday", "Thursday",
                                   "Friday", "Saturday", "Sunday",    NULL};
static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul",
                                     "Aug", "Sep", "Oct", "Nov", "Dec", NULL};

/* Which of the names is at *p (its first `most` letters), which is then behind it: from 0; -1. */
static int take_name(const char **p, const char *const *names, size_t most)
{
    for (int i = 0; names[i]; i++) {
        size_t n = strlen(names[i]) < most ? strlen(names[i]) : most;
        if (!strncmp(*p, names[i], n)) {
            *p += n;
            return i;
        }
    }
    return -1;
}

static int take_digits(const char **p, int n)
{
    int v = 0;
    for (; n; n--, ++*p) {
        if (**p < '0' || **p > '9')
            return -1;
        v = v * 10 + (**p - '0');
    }
    return v;
}

static bool take_clock(const char **p, struct date *d)
{
    d->hour = take_digits(p, 2);
    if (d->hour < 0 || *(*p)++ != ':')
        return false;
    d->minute = take_digits(p, 2);
    if (d->minute < 0 || *(*p)++ != ':')
        return false;
    d->second = take_digits(p, 2);
    return d->second >= 0;
}

/* One part of a form: a letter, or itself. */
static bool take(const char **p, char part, struct date *d)
{
    switch (part) {
    case 'a': /* Sun */
        return take_name(p, days, 3) >= 0;
    case 'A': /* Sunday */
        return take_name(p, days, 9) >= 0;
    case 'd':
        d->day = take_digits(p, 2);
        return d->day >= 0;
    case 'e': /* 16, or 6 with a blank in front */
        if (**p == ' ') {
            ++*p;
            d->day = take_digits(p, 1);
        } else {
            d->day = take_digits(p, 2);
        }
        return d->day >= 0;
    case 'b':
        d->month = take_name(p, months, 3) + 1;
        return d->month > 0;
    case 'y':
        d->short_year = true;
        d->year = take_digits(p, 2);
        return d->year >= 0;
    case 'Y':
        d->year = take_digits(p, 4);
        return d->year >= 0;
    case 't':
        return take_clock(p, d);
    default:
        return *(*p)++ == part;
    }
}

static bool matches(const char *text, const char *form, struct date *d)
{
    for (*d = (struct date){0}; *form; form++)
        if (!take(&text, *form, d))
            return false;
    return !*text;
}

static bool is_leap(int year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static bool exists(const struct date *d)
{
    static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int last = lengths[d->month - 1] + (d->month == 2 && is_leap(d->year));
    return d->year >= 1 && d->day >= 1 && d->day <= last && d->hour < 24 && d->minute < 60 &&
           d->second <= 60;
}

/* Days since 1970, in the Gregorian calendar: years that begin in March. */
static int64_t days_of(int year, int month, int day)
{
    int64_t y = month > 2 ? year : year - 1, m = (month + 9) % 12;
    return y * 365 + y / 4 - y / 100 + y / 400 + (m * 306 + 5) / 10 + day - 1 - 719468;
}

static int64_t seconds_of(const struct date *d)
{
    int of_day = (d->hour * 60 + d->minute) * 60 + d->second;
    return days_of(d->year, d->month, d->day) * 86400 + of_day;
}

/* More than 50 years ahead is the last century's. */
static void widen(struct date *d, int64_t now_s)
{
    int64_t year = 1970 + now_s / 31556952;
    d->year += (int)(year / 100 * 100);
    if (d->year > year + 50)
        d->year -= 100;
}

int http_date_parse(const char *text, int64_t now_s, int64_t *ret_s)
{
    static const char *const forms[] = {
        "a, d b Y t GMT", /* Sun, 06 Nov 1994 08:49:37 GMT */
        "A, d-b-y t GMT", /* Sunday, 06-Nov-94 08:49:37 GMT */
        "a b e t Y",      /* Sun Nov  6 08:49:37 1994 */
    };
    struct date d;
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        if (!matches(text, forms[i], &d))
            continue;
        if (d.short_year)
            widen(&d, now_s);
        if (!exists(&d))
            return -EINVAL;
        *ret_s = seconds_of(&d);
        return 0;
    }
    return -EINVAL;
}

static int parse_seconds(const char *text, int64_t *ret_s)
{
    int64_t s = 0;
    if (!*text || text[strspn(text, "0123456789")])
        return -EINVAL;
    for (; *text; text++) {
        s = s * 10 + (*text - '0');
        if (s > HTTP_DELAY_MAX_S)
            s = HTTP_DELAY_MAX_S;
    }
    *ret_s = s;
    return 0;
}

int http_retry_after(const char *text, int64_t now_s, int64_t *ret_delay_s)
{
    int64_t at;
    if (parse_seconds(text, ret_delay_s) == 0)
        return 0;
    if (http_date_parse(text, now_s, &at) < 0)
        return -EINVAL;
    int64_t delay = at - now_s;
    *ret_delay_s = delay < 0 ? 0 : delay > HTTP_DELAY_MAX_S ? HTTP_DELAY_MAX_S : delay;
    return 0;
}
