#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/resp.h"

#define MAX_BULK 8
#define MAX_REPLY 4096

struct run {
    char fed[65536];
    size_t len;
    unsigned replies;
    size_t left; /* of the input */
    int error;
    struct err e;
};

/* Presents `in` in pieces of `piece` bytes, the first one `first` bytes, as a socket would; keeps
 * what is not used. */
static void scan_pieces(struct run *r, const char *in, size_t len, size_t first, size_t piece)
{
    struct resp s;
    size_t begin = 0, end = first < len ? first : len;
    memset(r, 0, sizeof *r);
    resp_init(&s, MAX_BULK, MAX_REPLY);
    for (;;) {
        struct resp_part part = {0};
        while ((r->error = resp_scan(&s, in + begin, end - begin, &part, &r->e)) == 0 &&
               (part.used || part.feed_len)) {
            begin += part.used;
            memcpy(r->fed + r->len, part.feed, part.feed_len);
            r->len += part.feed_len;
            r->replies += part.whole;
        }
        r->left = len - begin;
        if (r->error || end == len || end - begin > RESP_HEAD_MAX)
            return;
        end = end + piece < len ? end + piece : len;
    }
}

static void scan(struct run *r, const char *in, size_t len)
{
    scan_pieces(r, in, len, len, len);
}

static const char stream[] =
    "+OK\r\n-ERR "
    "no\r\n:0\r\n:-9223372036854775808\r\n:9223372036854775807\r\n$0\r\n\r\n$3\r\na\r\n\r\n"
    "$-1\r\n*-1\r\n*0\r\n*2\r\n*1\r\n$8\r\n12345678\r\n*0\r\n*3\r\n+\r\n$-1\r\n:7\r\n+end\r\n";
static const char large[] =
    "*3\r\n$2\r\nab\r\n$9\r\n123456789\r\n:1\r\n$10\r\n\r\n\r\n\r\n\r\n\r\n\r\n+OK\r\n";
static const char large_fed[] = "*3\r\n$2\r\nab\r\n+\0"
                                "9\r\n:1\r\n+\0"
                                "10\r\n+OK\r\n";

static void what_is_right_is_fed_as_it_is(void **state)
{
    struct run r;
    (void)state;
    scan(&r, stream, sizeof stream - 1);
    assert_int_equal(r.error, 0);
    assert_int_equal(r.left, 0);
    assert_int_equal(r.replies, 13);
    assert_int_equal(r.len, sizeof stream - 1);
    assert_memory_equal(r.fed, stream, r.len);
}

static void every_split_gives_the_same(void **state)
{
    static struct run r;
    (void)state;
    for (size_t first = 0; first < sizeof stream; first++)
        for (size_t piece = 1; piece < 30; piece += 4) {
            scan_pieces(&r, stream, sizeof stream - 1, first, piece);
            assert_int_equal(r.error, 0);
            assert_int_equal(r.replies, 13);
            assert_int_equal(r.len, sizeof stream - 1);
            assert_memory_equal(r.fed, stream, r.len);
        }
}

static void a_long_string_is_skipped_at_every_split(void **state)
{
    static struct run r;
    (void)state;
    for (size_t first = 0; first < sizeof large; first++)
        for (size_t piece = 1; piece < 30; piece += 4) {
            scan_pieces(&r, large, sizeof large - 1, first, piece);
            assert_int_equal(r.error, 0);
            assert_int_equal(r.left, 0);
            assert_int_equal(r.replies, 3);
            assert_int_equal(r.len, sizeof large_fed - 1);
            assert_memory_equal(r.fed, large_fed, r.len);
        }
}

static void a_stand_in_is_told_from_a_status(void **state)
{
    size_t n = 0;
    (void)state;
    assert_true(resp_is_stand_in("\0"
                                 "1234",
                                 5, &n));
    assert_int_equal(n, 1234);
    assert_false(resp_is_stand_in("1234", 4, &n));
    assert_false(resp_is_stand_in("\0", 1, &n));
    assert_false(resp_is_stand_in("\0-1", 3, &n));
    assert_false(resp_is_stand_in("\0"
                                  "1x",
                                  3, &n));
    assert_false(resp_is_stand_in("", 0, &n));
}

static const struct {
    const char *in;
    int error;
    const char *says;
} refused[] = {
    {"HTTP/1.1 400 Bad Request\r\n", -EPROTO, "'H' begins no reply"},
    {"\x15\x03\x01", -EPROTO, "byte 0x15"},
    {"%1\r\n+a\r\n+b\r\n", -EPROTO, "'%'"},
    {">1\r\n+a\r\n", -EPROTO, "'>'"},
    {"_\r\n", -EPROTO, "'_'"},
    {"\r\n", -EPROTO, "byte 0x0d"},
    {"*1\r\n#t\r\n", -EPROTO, "'#'"},
    {"*2147483647\r\n", -EMSGSIZE, "an array of 2147483647 items"},
    {"*1048577\r\n", -EMSGSIZE, "an array of 1048577 items"},
    {"*2\r\n*1048575\r\n", -EMSGSIZE, "an array of 1048575 items"},
    {"*9223372036854775807\r\n", -EMSGSIZE, "an array of"},
    {"*9223372036854775808\r\n", -EPROTO, "no number"},
    {"*-2\r\n", -EPROTO, "an array of -2"},
    {"*-9223372036854775808\r\n", -EPROTO, "an array of"},
    {"$9223372036854775807\r\n", -EMSGSIZE, "a string of 9223372036854775807"},
    {"$536870913\r\n", -EMSGSIZE, "a string of 536870913"},
    {"$18446744073709551617\r\n", -EPROTO, "no number"},
    {"$-2\r\n", -EPROTO, "a string of -2"},
    {"$\r\n", -EPROTO, "no number"},
    {"$-\r\n", -EPROTO, "no number"},
    {"$+1\r\n", -EPROTO, "no number"},
    {"$01\r\n", -EPROTO, "no number"},
    {"$-0\r\n", -EPROTO, "no number"},
    {"$ 1\r\n", -EPROTO, "no number"},
    {"$1 \r\n", -EPROTO, "no number"},
    {"$1\n\r\n", -EPROTO, "no number"},
    {"$1\rx", -EPROTO, "no number"},
    {"$0000000000000000000000000", -EPROTO, "no number"},
    {":\r\n", -EPROTO, "no number"},
    {":1.5\r\n", -EPROTO, "no number"},
    {":9223372036854775808\r\n", -EPROTO, "no number"},
    {":-9223372036854775809\r\n", -EPROTO, "no number"},
    {"$3\r\nabcd\r\n", -EPROTO, "longer than was announced"},
    {"$3\r\nabc\rx", -EPROTO, "longer than was announced"},
    {"$9\r\n1234567890\r\n", -EPROTO, "longer than was announced"},
    {"+\n9\r\n", -EPROTO, "a line feed"},
    {"+a\nb\r\n", -EPROTO, "a line feed"},
    {"-a\rb\r\n", -EPROTO, "a carriage return"},
    {"*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n", -EMSGSIZE, "more than 7 arrays"},
};

static void what_is_wrong_is_refused_with_a_sentence(void **state)
{
    static struct run r;
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
        for (size_t piece = 1; piece < 40; piece += 3) {
            scan_pieces(&r, refused[i].in, strlen(refused[i].in), piece, piece);
            if (r.error != refused[i].error || !strstr(r.e.text, refused[i].says))
                print_error("%s: %d %s\n", refused[i].in, r.error, r.e.text);
            assert_int_equal(r.error, refused[i].error);
            assert_non_null(strstr(r.e.text, refused[i].says));
        }
}

static void a_server_cannot_send_a_stand_in(void **state)
{
    static const char in[] = "+OK\r\n+\0"
                             "9\r\n";
    struct run r;
    (void)state;
    for (size_t piece = 1; piece < sizeof in; piece++) {
        scan_pieces(&r, in, sizeof in - 1, piece, piece);
        assert_int_equal(r.error, -EPROTO);
        assert_int_equal(r.replies, 1);
    }
}

static void seven_arrays_within_each_other_pass(void **state)
{
    static const char in[] = "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*2\r\n:1\r\n:2\r\n";
    struct run r;
    (void)state;
    scan(&r, in, sizeof in - 1);
    assert_int_equal(r.error, 0);
    assert_int_equal(r.replies, 1);
}

/* `n` replies, one behind the other; *ret_whole of them came through. */
static int scan_repeated(const char *in, size_t len, unsigned n, unsigned *ret_whole)
{
    struct resp s;
    struct err e;
    int error = 0;
    resp_init(&s, MAX_BULK, MAX_REPLY);
    *ret_whole = 0;
    for (unsigned i = 0; !error && i < n; i++) {
        struct resp_part part = {0};
        for (size_t at = 0; !error && at < len; at += part.used) {
            error = resp_scan(&s, in + at, len - at, &part, &e);
            *ret_whole += part.whole;
        }
    }
    return error;
}

static void the_budgets_count_a_reply_and_not_the_stream(void **state)
{
    static const char strings[] = "*3\r\n$8\r\n12345678\r\n$8\r\n12345678\r\n+12345678\r\n";
    char *items = malloc(4 * 600000 + 16);
    size_t n = (size_t)sprintf(items, "*600000\r\n");
    unsigned whole;
    (void)state;
    for (int i = 0; i < 600000; i++, n += 4)
        memcpy(items + n, ":1\r\n", 4);
    int error = scan_repeated(items, n, 3, &whole);
    free(items);
    assert_int_equal(error, 0);
    assert_int_equal(whole, 3);
    assert_int_equal(scan_repeated(strings, sizeof strings - 1, 2000, &whole), 0);
    assert_int_equal(whole, 2000);
}

static void a_reply_over_its_bytes_is_refused(void **state)
{
    char in[16384];
    size_t n = (size_t)sprintf(in, "*600\r\n");
    static struct run r;
    (void)state;
    for (int i = 0; i < 513; i++)
        n += (size_t)sprintf(in + n, "$8\r\n%08d\r\n", i);
    scan(&r, in, n);
    assert_int_equal(r.error, -EMSGSIZE);
    assert_non_null(strstr(r.e.text, "more than 4096 bytes"));
}

static void lines_count_as_bytes_of_a_reply(void **state)
{
    char in[16384];
    size_t n = (size_t)sprintf(in, "*600\r\n");
    static struct run r;
    (void)state;
    for (int i = 0; i < 513; i++)
        n += (size_t)sprintf(in + n, "+%08d\r\n", i);
    scan(&r, in, n);
    assert_int_equal(r.error, -EMSGSIZE);
}

/* Fed a byte at a time this would be 2^31 steps, were the line looked at from its beginning each
 * time. */
static void a_line_without_end_is_refused(void **state)
{
    struct resp s;
    struct resp_part part;
    struct err e;
    size_t i = 0;
    int error = 0;
    (void)state;
    resp_init(&s, MAX_BULK, 1 << 20);
    error = resp_scan(&s, "-", 1, &part, &e);
    for (; !error && i < 2 * RESP_LINE_MAX; i++)
        error = resp_scan(&s, "x", 1, &part, &e);
    assert_int_equal(error, -EMSGSIZE);
    assert_int_equal(i, RESP_LINE_MAX + 1);
}

static void a_string_of_512_mib_is_skipped_without_memory(void **state)
{
    struct resp s;
    struct resp_part part = {0};
    struct err e;
    static char zeros[1 << 20];
    size_t left = (size_t)RESP_BULK_MAX, fed = 0;
    (void)state;
    resp_init(&s, MAX_BULK, MAX_REPLY);
    assert_int_equal(resp_scan(&s, "$536870912\r\n", 12, &part, &e), 0);
    while (left) {
        assert_int_equal(resp_scan(&s, zeros, left < sizeof zeros ? left : sizeof zeros, &part, &e),
                         0);
        left -= part.used;
        fed += part.feed_len;
    }
    assert_int_equal(fed, 0);
    assert_false(part.whole);
    assert_int_equal(resp_scan(&s, "\r\n+", 3, &part, &e), 0);
    assert_true(part.whole);
    assert_int_equal(part.used, 2);
    assert_memory_equal(part.feed,
                        "+\0"
                        "536870912\r\n",
                        part.feed_len);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_right_is_fed_as_it_is),
        cmocka_unit_test(every_split_gives_the_same),
        cmocka_unit_test(a_long_string_is_skipped_at_every_split),
        cmocka_unit_test(a_stand_in_is_told_from_a_status),
        cmocka_unit_test(what_is_wrong_is_refused_with_a_sentence),
        cmocka_unit_test(a_server_cannot_send_a_stand_in),
        cmocka_unit_test(seven_arrays_within_each_other_pass),
        cmocka_unit_test(the_budgets_count_a_reply_and_not_the_stream),
        cmocka_unit_test(a_reply_over_its_bytes_is_refused),
        cmocka_unit_test(lines_count_as_bytes_of_a_reply),
        cmocka_unit_test(a_line_without_end_is_refused),
        cmocka_unit_test(a_string_of_512_mib_is_skipped_without_memory),
    };
    return cmocka_run_group_tests_name("resp", tests, NULL, NULL);
}
