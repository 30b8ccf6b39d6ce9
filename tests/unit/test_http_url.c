/* Urls: what a template may be, what comes of it, where a redirect may lead. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "worker/handler/http_check.h"
#include "worker/handler/http_url.h"

static struct err why;

static void templates_are_accepted(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "http://h",
        "http://h/",
        "HTTPS://h/{payload}",
        "http://h:8080/{queue}/{id}?p={payload}&q={payload}",
        "http://user:secret@h/{id}",
        "http://[::1]:80/x",
        "http://h?{payload}",
        "http://h/a.b/..c/.../{payload}",
        "http://h/%7B%7D",
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (http_url_check(rows[i], &why) < 0)
            fail_msg("%s: %s", rows[i], why.text);
}

static void other_templates_are_refused_with_a_sentence(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } rows[] = {
        {"", "begins with neither http:// nor https://"},
        {"h/x", "begins with neither"},
        {"ftp://h/x", "begins with neither"},
        {"file:///etc/passwd", "begins with neither"},
        {"{payload}", "begins with neither"},
        {"http://", "is no url"},
        {"http:///x", "it has no host"},
        {"http:///{payload}", "it has no host"},
        {"http://@/{payload}", "is no url"},
        {"http://h\\{payload}", "has {payload} in front of its path"},
        {"http://h:99999/", "is no url"},
        {"http://h:x/", "is no url"},
        {"http://{payload}/", "has {payload} in front of its path"},
        {"http://{queue}.example.org/", "has {queue} in front of its path"},
        {"http://h:{id}/", "has {id} in front of its path"},
        {"http://{payload}@h/", "has {payload} in front of its path"},
        {"http://h/{payloads}", "has a brace at \"{payloads}\""},
        {"http://h/{Payload}", "has a brace"},
        {"http://h/{}", "has a brace"},
        {"http://h/{", "has a brace"},
        {"http://h/}", "has a brace"},
        {"http://h/{{payload}}", "has a brace at \"{{payload}}\""},
        {"http://h/{payload}}", "has a brace at \"}\""},
        {"http://h/a b", "has a blank"},
        {"http://h/\r\nX: y", "has a blank"},
        {"http://h/\xc3\xa4", "has a blank"},
        {"http://h/x#{payload}", "has a blank, a #"},
        {"http://h/a/../b", "has a step"},
        {"http://h/./{payload}", "has a step"},
        {"http://h/..", "has a step"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        why = (struct err){0};
        if (http_url_check(rows[i].text, &why) != -EINVAL || !strstr(why.text, rows[i].says))
            fail_msg("'%s': %s", rows[i].text, why.text);
    }
}

/* Borrowed until the next call; NULL: refused. */
static const char *expanded(const char *template, const void *payload, size_t len)
{
    static char *url;
    struct http_words w = {.payload = payload, .len = len, .queue = "a:b c", .id = "1f.2-3"};
    free(url);
    url = NULL;
    why = (struct err){0};
    return http_url_expand(template, &w, &url, &why) == 0 ? url : NULL;
}

static void words_are_put_in_encoded(void **state)
{
    (void)state;
    assert_string_equal(expanded("http://h/{payload}", "3", 1), "http://h/3");
    assert_string_equal(expanded("http://h/{payload}/{payload}", "", 0), "http://h//");
    assert_string_equal(expanded("http://h/{queue}/{id}", "x", 1), "http://h/a%3Ab%20c/1f.2-3");
    assert_string_equal(expanded("http://h/{payload}", "a\0b", 3), "http://h/a%00b");
    assert_string_equal(expanded("http://h/{payload}", "\r\nHost: x", 9),
                        "http://h/%0D%0AHost%3A%20x");
    assert_string_equal(expanded("http://h/{payload}", "{payload}%s", 11),
                        "http://h/%7Bpayload%7D%25s");
    assert_string_equal(
        expanded("http://h/?q={payload}", "/?#&=+%@:;,'\"<>\\^`|$!*()[]", 26),
        "http://h/?q=%2F%3F%23%26%3D%2B%25%40%3A%3B%2C%27%22%3C%3E%5C%5E%60%7C%24%21"
        "%2A%28%29%5B%5D");
    assert_string_equal(expanded("http://h/{payload}", "AZaz09-._~\x7f\xff", 12),
                        "http://h/AZaz09-._~%7F%FF");
}

/* Who normalizes a path would leave the place where the template has put it. */
static void a_payload_is_no_step_in_the_path(void **state)
{
    (void)state;
    assert_null(expanded("http://h/a/{payload}", "..", 2));
    assert_non_null(strstr(why.text, "would be a step in the url's path"));
    assert_null(expanded("http://h/a/{payload}/b", ".", 1));
    assert_null(expanded("http://h/a/.{payload}?x", ".", 1));
    assert_null(expanded("http://h/a/{payload}.", "", 0));
    assert_string_equal(expanded("http://h/a/{payload}", "...", 3), "http://h/a/...");
    assert_string_equal(expanded("http://h/a/{payload}", "../..", 5), "http://h/a/..%2F..");
    assert_string_equal(expanded("http://h/a?{payload}", "..", 2), "http://h/a?..");
}

static void a_url_has_a_longest(void **state)
{
    (void)state;
    size_t front = strlen("http://h/"), most = HTTP_URL_MAX - front;
    char *payload = malloc(most + 1);
    assert_non_null(payload);
    memset(payload, 'x', most + 1);
    assert_int_equal(strlen(expanded("http://h/{payload}", payload, most)), HTTP_URL_MAX);
    assert_null(expanded("http://h/{payload}", payload, most + 1));
    assert_non_null(strstr(why.text, "longer than 1048576 bytes"));
    assert_null(expanded("http://h/{payload}/{payload}", payload, most));
    memset(payload, '/', most);
    assert_null(expanded("http://h/{payload}", payload, most / 3 + 1));
    assert_non_null(expanded("http://h/{payload}", payload, most / 3));
    free(payload);
}

static void redirects_lead_where_they_may(void **state)
{
    (void)state;
    static char one[] = "other.example", two[] = "Ports.example:8443", six[] = "[::1]";
    static char *const hosts[] = {one, two, six, NULL};
    static const struct {
        const char *first, *from, *location;
        const char *url; /* NULL: refused */
        bool away;
    } rows[] = {
        {"http://h/a", "http://h/a", "/b?c", "http://h/b?c", false},
        {"http://h/a/b", "http://h/a/b", "c", "http://h/a/c", false},
        {"http://h/a", "http://h/a", "//h/c", "http://h/c", false},
        {"http://h/a", "http://h/a", "http://H:80/c", "http://H:80/c", false},
        {"http://h/a", "http://h/a", "https://h/c", "https://h/c", false},
        {"http://h:81/a", "http://h:81/a", "/c", "http://h:81/c", false},
        {"http://u:p@h/a", "http://u:p@h/a", "/c", "http://u:p@h/c", false},
        {"http://h/a", "http://h/a", "/a b", "http://h/a%20b", false},
        {"http://h/a", "http://other.example/x", "http://h/c", "http://h/c", false},
        {"http://h/a", "http://h/a", "http://other.example/c", "http://other.example/c", true},
        {"http://h/a", "http://h/a", "https://OTHER.example/c", "https://OTHER.example/c", true},
        {"http://h/a", "http://h/a", "http://ports.example:8443/", "http://ports.example:8443/",
         true},
        {"http://h/a", "http://h/a", "http://[::1]/", "http://[::1]/", true},
        {"http://h/a", "http://h/a", "http://other.example:8080/c", NULL, false},
        {"http://h/a", "http://h/a", "http://ports.example/", NULL, false},
        {"http://h/a", "http://h/a", "http://evil.example/c", NULL, false},
        {"http://h/a", "http://h/a", "//evil.example/c", NULL, false},
        {"http://h/a", "http://h/a", "http://h.evil.example/", NULL, false},
        {"http://h/a", "http://h/a", "http://h@evil.example/", NULL, false},
        {"http://h/a", "http://h/a", "http://h:81/", NULL, false},
        {"http://h:81/a", "http://h:81/a", "https://h/", NULL, false},
        {"https://h/a", "https://h/a", "http://h/", NULL, false},
        {"http://h/a", "https://h/a", "http://h/", NULL, false},
        {"https://h/a", "https://h/a", "http://other.example/", NULL, false},
        {"http://h/a", "http://h/a", "ftp://h/", NULL, false},
        {"http://h/a", "http://h/a", "file:///etc/passwd", NULL, false},
        {"http://h/a", "http://h/a", "http://", NULL, false},
        {"http://h/a", "http://h/a", "http://h:99999/", NULL, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *url = NULL;
        bool away = false;
        why = (struct err){0};
        int r = http_url_redirect(rows[i].first, rows[i].from, rows[i].location, hosts, &url, &away,
                                  &why);
        if (rows[i].url ? r != 0 || strcmp(url, rows[i].url) != 0 || away != rows[i].away
                        : (r != -EPERM && r != -EINVAL) || !strstr(why.text, "redirects "))
            fail_msg("row %zu, %s: %d, %s, %s", i, rows[i].location, r, r == 0 ? url : "",
                     why.text);
        free(url);
    }
}

static void hosts_and_proxies_are_checked(void **state)
{
    (void)state;
    static const char *const good[] = {"a",     "a.example.org", "a:1", "127.0.0.1:65535",
                                       "[::1]", "[::1]:80"};
    static const char *const bad[] = {"",      "http://a", "a/b", "a:",     "a:0", "a:65536",
                                      "a:080", "u@a",      "a b", "a\r\nb", "::1", "a:b"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        if (http_url_check_host(good[i], &why) < 0)
            fail_msg("%s: %s", good[i], why.text);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (http_url_check_host(bad[i], &why) != -EINVAL)
            fail_msg("%s", bad[i]);
    assert_int_equal(http_url_check_proxy("", &why), 0);
    assert_int_equal(http_url_check_proxy("http://127.0.0.1:3128", &why), 0);
    assert_int_equal(http_url_check_proxy("https://u:p@h:3128/", &why), 0);
    assert_int_equal(http_url_check_proxy("socks4a://h", &why), 0);
    assert_int_equal(http_url_check_proxy("socks5h://h", &why), 0);
    assert_int_equal(http_url_check_proxy("127.0.0.1:3128", &why), -EINVAL);
    assert_int_equal(http_url_check_proxy("ftp://h", &why), -EINVAL);
    assert_int_equal(http_url_check_proxy("http://h:x", &why), -EINVAL);
}

static void header_fields_are_checked(void **state)
{
    (void)state;
    static const char *const good[] = {
        "A: b", "A:", "A:b", "X-Y: a\tb\xc3\xa4", "Host: h", "Authorization: Bearer x"};
    static const char *const bad[] = {"",
                                      "A",
                                      ": b",
                                      "A b: c",
                                      "A : c",
                                      "A: b\r\nC: d",
                                      "A: b\nC: d",
                                      "A: b\x7f",
                                      "A: \x01",
                                      "X-Rpopd-Signature: sha256=0",
                                      "x-rpopd-id: 1",
                                      "Content-Length: 1",
                                      "transfer-encoding: chunked",
                                      "Connection: close"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        if (http_check_header(good[i], &why) < 0)
            fail_msg("%s: %s", good[i], why.text);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (http_check_header(bad[i], &why) != -EINVAL)
            fail_msg("'%s' is accepted", bad[i]);
}

static void names_are_made_visible_for_a_header(void **state)
{
    (void)state;
    char out[40];
    assert_string_equal(http_url_visible("mail:high", out, sizeof out), "mail:high");
    assert_string_equal(http_url_visible("a\r\nB: c", out, sizeof out), "a%0D%0AB:%20c");
    assert_string_equal(http_url_visible("100%\xff", out, sizeof out), "100%25%FF");
    assert_string_equal(http_url_visible("abcdefgh", out, 6), "abc");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(templates_are_accepted),
        cmocka_unit_test(other_templates_are_refused_with_a_sentence),
        cmocka_unit_test(words_are_put_in_encoded),
        cmocka_unit_test(a_payload_is_no_step_in_the_path),
        cmocka_unit_test(a_url_has_a_longest),
        cmocka_unit_test(redirects_lead_where_they_may),
        cmocka_unit_test(hosts_and_proxies_are_checked),
        cmocka_unit_test(header_fields_are_checked),
        cmocka_unit_test(names_are_made_visible_for_a_header),
    };
    return cmocka_run_group_tests_name("http_url", tests, NULL, NULL);
}
