/* Addresses of servers: what is read, what is refused and with which words. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/url.h"

static void good_urls_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        struct url want;
    } rows[] = {
        {"redis://127.0.0.1:6379/0", {.host = "127.0.0.1", .port = 6379}},
        {"redis://h", {.host = "h", .port = 6379}},
        {"redis://h/", {.host = "h", .port = 6379}},
        {"redis://h:1", {.host = "h", .port = 1}},
        {"redis://h:65535/2147483647", {.host = "h", .port = 65535, .db = 2147483647}},
        {"redis://[::1]", {.host = "::1", .port = 6379}},
        {"redis://[fe80::1%eth0]:7/3", {.host = "fe80::1%eth0", .port = 7, .db = 3}},
        {"redis://a_b-c.example:7", {.host = "a_b-c.example", .port = 7}},
        {"redis://u@h", {.host = "h", .port = 6379, .user = "u"}},
        {"redis://:p@h", {.host = "h", .port = 6379, .password = "p"}},
        {"redis://u:p q'\"\\@h", {.host = "h", .port = 6379, .user = "u", .password = "p q'\"\\"}},
        {"redis://u:p@x:y@h:5", {.host = "h", .port = 5, .user = "u", .password = "p@x:y"}},
        {"redis://a%40b:%2f%3F%25@h",
         {.host = "h", .port = 6379, .user = "a@b", .password = "/?%"}},
        {"unix:///run/redis/redis.sock", {.scheme = URL_UNIX, .path = "/run/redis/redis.sock"}},
        {"unix:///s?db=3", {.scheme = URL_UNIX, .path = "/s", .db = 3}},
        {"unix://u:p@/a%20b@c",
         {.scheme = URL_UNIX, .path = "/a b@c", .user = "u", .password = "p"}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct url u, again;
        struct err e = {0};
        char text[URL_TEXT_MAX];
        if (url_parse(rows[i].text, &u, &e) != 0)
            fail_msg("%s: %s", rows[i].text, e.text);
        assert_memory_equal(&u, &rows[i].want, sizeof u);
        assert_int_equal(url_parse(url_print(&u, text), &again, &e), 0);
        memset(u.password, 0, sizeof u.password);
        assert_memory_equal(&u, &again, sizeof u);
    }
}

static void bad_urls_are_refused_with_a_sentence(void **state)
{
    (void)state;
    static const struct {
        const char *text, *words;
    } rows[] = {
        {"", "begins with neither"},
        {"h:6379", "begins with neither"},
        {"http://h", "begins with neither"},
        {"REDIS://h", "begins with neither"},
        {"rediss://h", "TLS, which is not built in"},
        {"redis://", "names no host"},
        {"redis://:6379", "names no host"},
        {"redis://u:p@", "names no host"},
        {"redis://h:", "port in the url"},
        {"redis://h:0", "1 to 65535"},
        {"redis://h:65536", "1 to 65535"},
        {"redis://h:99999999999999999999", "1 to 65535"},
        {"redis://h:+1", "1 to 65535"},
        {"redis://h: 1", "1 to 65535"},
        {"redis://h/-1", "database in the url"},
        {"redis://h/2147483648", "0 to 2147483647"},
        {"redis://h/1/2", "database in the url"},
        {"redis://h?db=1", "database in the url"},
        {"redis://h /0", "byte 2 of the host"},
        {"redis://h#x", "byte 2 of the host"},
        {"redis://::1", "names no host"},
        {"redis://fe80::1:6379", "1 to 65535"},
        {"redis://[::1", "has no ]"},
        {"redis://[]", "names no host"},
        {"redis://[::1]6379", "only :port may follow"},
        {"redis://u:a/b@h", "%2F"},
        {"redis://u:%@h", "two hex digits"},
        {"redis://u:%4@h", "two hex digits"},
        {"redis://u:%zz@h", "two hex digits"},
        {"redis://u:%00@h", "NUL"},
        {"redis://u:a\nb@h", "control character"},
        {"unix://", "absolute path"},
        {"unix://run/x", "absolute path"},
        {"unix:///x?db=", "database in the url"},
        {"unix:///x?password=y", "?db="},
        {"unix:///x%00y", "NUL"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct url u = {.db = 77};
        struct err e = {0};
        assert_int_equal(url_parse(rows[i].text, &u, &e), -EINVAL);
        if (!strstr(e.text, rows[i].words))
            fail_msg("%s: '%s' does not say '%s'", rows[i].text, e.text, rows[i].words);
        assert_int_equal(u.db, 77);
    }
}

static int parse_part(const char *front, size_t len, const char *tail, struct url *u)
{
    char *text = test_malloc(strlen(front) + len + strlen(tail) + 1);
    struct err e;
    char *p = stpcpy(text, front);
    memset(p, 'a', len);
    strcpy(p + len, tail);
    int r = url_parse(text, u, &e);
    test_free(text);
    return r;
}

static void parts_have_the_length_their_place_has_room_for(void **state)
{
    (void)state;
    static const struct {
        const char *front, *tail;
        size_t max;
    } rows[] = {
        {"redis://", ":1/0", URL_HOST_MAX},      {"redis://[", "]", URL_HOST_MAX},
        {"unix:///", "?db=1", URL_PATH_MAX - 1}, {"redis://", "@h", URL_USER_MAX},
        {"redis://u:", "@h", URL_PASSWORD_MAX},
    };
    struct url u;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(parse_part(rows[i].front, rows[i].max, rows[i].tail, &u), 0);
        assert_int_equal(parse_part(rows[i].front, rows[i].max + 1, rows[i].tail, &u), -EINVAL);
        assert_int_equal(parse_part(rows[i].front, 100000, rows[i].tail, &u), -EINVAL);
    }
}

static void the_longest_url_prints(void **state)
{
    (void)state;
    struct url u = {.port = 65535, .db = 2147483647}, again;
    struct err e;
    char out[URL_TEXT_MAX];
    memset(u.user, '\xff', URL_USER_MAX);
    memset(u.host, ':', URL_HOST_MAX);
    assert_int_equal(url_parse(url_print(&u, out), &again, &e), 0);
    assert_memory_equal(&u, &again, sizeof u);
}

static void a_sentence_never_holds_a_secret(void **state)
{
    (void)state;
    static const char *const rows[] = {"redis://hush:hush@",   "redis://u:hush/hush@h",
                                       "redis://hush:hush%@h", "redis://u:hush@h:x",
                                       "unix://u:hush@x",      "redis://u:hush?hush@h/x"};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct url u;
        struct err e = {0};
        assert_int_equal(url_parse(rows[i], &u, &e), -EINVAL);
        assert_null(strstr(e.text, "hush"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_urls_are_read),
        cmocka_unit_test(bad_urls_are_refused_with_a_sentence),
        cmocka_unit_test(parts_have_the_length_their_place_has_room_for),
        cmocka_unit_test(the_longest_url_prints),
        cmocka_unit_test(a_sentence_never_holds_a_secret),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
