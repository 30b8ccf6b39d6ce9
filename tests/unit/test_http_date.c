/* What a server says about when to ask again: seconds, and the three forms of a date. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "worker/handler/http_date.h"

#define NOW 1700000000 /* 2023 */

static void the_three_forms_of_a_date_are_one_time(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t s;
    } rows[] = {
        {"Sun, 06 Nov 1994 08:49:37 GMT", 784111777},
        {"Sunday, 06-Nov-94 08:49:37 GMT", 784111777},
        {"Sun Nov  6 08:49:37 1994", 784111777},
        {"Wed Nov 16 08:49:37 1994", 784975777},
        {"Thu, 01 Jan 1970 00:00:00 GMT", 0},
        {"Thu, 29 Feb 2024 23:59:59 GMT", 1709251199},
        {"Fri, 31 Dec 1999 23:59:60 GMT", 946684800},
        {"Wednesday, 01-Jan-70 00:00:00 GMT", 3155760000},
        {"Saturday, 01-Jan-77 00:00:00 GMT", 220924800},
        {"Mon, 01 Jan 0001 00:00:00 GMT", -62135596800},
        {"Fri, 31 Dec 9999 23:59:59 GMT", 253402300799},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int64_t s = -1;
        if (http_date_parse(rows[i].text, NOW, &s) < 0 || s != rows[i].s)
            fail_msg("%s is %lld", rows[i].text, (long long)s);
    }
}

static void what_is_no_date_is_none(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "",
        "Sun",
        "Sun,",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 Nov 1994 08:49:37 GMT ",
        " Sun, 06 Nov 1994 08:49:37 GMT",
        "sun, 06 Nov 1994 08:49:37 GMT",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun, 06 nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 94 08:49:37 GMT",
        "Sun, 06 Nov 1994 8:49:37 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT",
        "Sun, 06 Nov 1994 08:60:00 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 31 Nov 1994 08:49:37 GMT",
        "Wed, 29 Feb 2023 00:00:00 GMT",
        "Wed, 29 Feb 1900 00:00:00 GMT",
        "Sun, 06 Nov 0000 08:49:37 GMT",
        "Sunday, 06-Nov-1994 08:49:37 GMT",
        "Sun, 06-Nov-94 08:49:37 GMT",
        "Sun Nov 6 08:49:37 1994",
        "Sun Nov 06 08:49:37 94",
        "Sun Nov  16 08:49:37 1994",
        "06 Nov 1994 08:49:37 GMT",
        "1994-11-06T08:49:37Z",
        "Sun, 06 Nov 1994 08:49:3",
        "Sun, 06 Nov 1994 08:49",
        "Sun, +6 Nov 1994 08:49:37 GMT",
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int64_t s = 77;
        if (http_date_parse(rows[i], NOW, &s) != -EINVAL || s != 77)
            fail_msg("'%s' is %lld", rows[i], (long long)s);
    }
}

static void a_delay_is_digits_or_a_date_from_now(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t now_s, delay_s;
    } rows[] = {
        {"0", NOW, 0},
        {"120", NOW, 120},
        {"0007", NOW, 7},
        {"999999999", NOW, 999999999},
        {"1000000001", NOW, HTTP_DELAY_MAX_S},
        {"99999999999999999999999999999999", NOW, HTTP_DELAY_MAX_S},
        {"Sun, 06 Nov 1994 08:49:37 GMT", 784111777 - 30, 30},
        {"Sun, 06 Nov 1994 08:49:37 GMT", 784111777, 0},
        {"Sun, 06 Nov 1994 08:49:37 GMT", NOW, 0},
        {"Fri, 31 Dec 9999 23:59:59 GMT", NOW, HTTP_DELAY_MAX_S},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int64_t s = -1;
        if (http_retry_after(rows[i].text, rows[i].now_s, &s) < 0 || s != rows[i].delay_s)
            fail_msg("%s is %lld", rows[i].text, (long long)s);
    }
}

static void what_is_no_delay_is_none(void **state)
{
    (void)state;
    static const char *const rows[] = {"",    "-1",  "+1", "1.5",  "1 ",   " 1",    "1s",
                                       "0x1", "1e3", "١",  "soon", "1, 2", "120\n", "1;2"};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int64_t s = 77;
        if (http_retry_after(rows[i], NOW, &s) != -EINVAL || s != 77)
            fail_msg("'%s' is %lld", rows[i], (long long)s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_three_forms_of_a_date_are_one_time),
        cmocka_unit_test(what_is_no_date_is_none),
        cmocka_unit_test(a_delay_is_digits_or_a_date_from_now),
        cmocka_unit_test(what_is_no_delay_is_none),
    };
    return cmocka_run_group_tests_name("http_date", tests, NULL, NULL);
}
