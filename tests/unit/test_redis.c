/* The door's pieces that need no server: reply trees, commands, addresses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/redis.h"
#include "daemon/redis_command.h"
#include "daemon/redis_reply.h"

#define MAX_BULK ((size_t)1 << 20)

/* Feeds in pieces and renders every reply into `out`, a line each; what was unused is presented
 * again. */
struct rendered {
    char *out;
    size_t len, room;
    int error;
    struct err e;
};

static void put(struct rendered *t, const char *fmt, long long n, const char *s, size_t len)
{
    if (t->room - t->len < len + 64) {
        t->room = (t->room + len) * 2 + 256;
        t->out = realloc(t->out, t->room);
    }
    t->len += (size_t)sprintf(t->out + t->len, fmt, n);
    memcpy(t->out + t->len, s, len);
    t->len += len;
    t->out[t->len] = '\0';
}

static void render(struct rendered *t, const struct redis_reply *r)
{
    static const char *const marks[] = {"nil%.0lld", "+%.0lld", "-%.0lld", ":%lld",
                                        "$%.0lld",   "L%lld",   "[%lld"};
    long long n = r->type == REDIS_INTEGER ? r->integer
                  : r->type == REDIS_LARGE ? (long long)r->len
                  : r->type == REDIS_ARRAY ? (long long)r->n
                                           : 0;
    put(t, marks[r->type], n, r->str ? r->str : "", r->str ? r->len : 0);
    for (size_t i = 0; i < r->n; i++) {
        put(t, " %.0lld", 0, "", 0);
        render(t, &r->item[i]);
    }
}

static struct rendered read_pieces(size_t max_bulk, const char *in, size_t len, size_t first,
                                   size_t piece)
{
    struct rendered t = {0};
    struct redis_reader *r = redis_reader_new(max_bulk);
    size_t begin = 0, end = first < len ? first : len;
    put(&t, "%.0lld", 0, "", 0);
    while (!t.error) {
        const struct redis_reply *reply;
        size_t used;
        t.error = redis_reader_read(r, in + begin, end - begin, &used, &reply, &t.e);
        begin += used;
        if (!t.error && reply) {
            render(&t, reply);
            put(&t, "\n%.0lld", 0, "", 0);
        } else if (end == len) {
            break;
        } else {
            end = end + piece < len ? end + piece : len;
        }
    }
    (void)redis_reader_free(r);
    return t;
}

static const char stream[] =
    "+OK\r\n-ERR no\r\n:-7\r\n$0\r\n\r\n$-1\r\n*-1\r\n*0\r\n*3\r\n$3\r\na\0b\r\n*2\r\n$20\r\n"
    "12345678901234567890\r\n:9\r\n*2\r\n-WRONGTYPE "
    "x\r\n$-1\r\n$21\r\n123456789012345678901\r\n+end\r\n";
static const char shown[] =
    "+OK\n-ERR no\n:-7\n$\nnil\nnil\n[0\n[3 $a\0b [2 $12345678901234567890 :9 [2 -WRONGTYPE x "
    "nil\nL21\n+end\n";

static void every_split_gives_the_same_tree(void **state)
{
    (void)state;
    for (size_t first = 0; first < sizeof stream; first++)
        for (size_t piece = 1; piece < 40; piece += 6) {
            struct rendered t = read_pieces(20, stream, sizeof stream - 1, first, piece);
            bool same =
                t.error == 0 && t.len == sizeof shown - 1 && memcmp(t.out, shown, t.len) == 0;
            free(t.out);
            assert_true(same);
        }
}

static void replies_are_cut_out_of_one_piece(void **state)
{
    (void)state;
    struct rendered t = read_pieces(20, stream, sizeof stream - 1, sizeof stream, sizeof stream);
    bool same = t.error == 0 && t.len == sizeof shown - 1 && memcmp(t.out, shown, t.len) == 0;
    free(t.out);
    assert_true(same);
}

static void a_hostile_stream_is_an_error_and_no_tree(void **state)
{
    static const char *const in[] = {"HTTP/1.1 400 Bad Request\r\n", "*2\r\n+a\r\n%1\r\n",
                                     "*2147483647\r\n", "$9223372036854775807\r\n",
                                     "*2\r\n$3\r\nabcd\r\n"};
    (void)state;
    for (size_t i = 0; i < sizeof in / sizeof in[0]; i++)
        for (size_t piece = 1; piece < 20; piece++) {
            struct rendered t = read_pieces(20, in[i], strlen(in[i]), piece, piece);
            size_t len = t.len;
            free(t.out);
            assert_true(t.error < 0);
            assert_true(t.e.text[0]);
            assert_int_equal(len, 0);
        }
}

static void a_burst_of_1000_strings_keeps_every_byte(void **state)
{
    size_t n = 0, bytes = 1000 * 1100;
    char *in = malloc(bytes), *want = malloc(bytes);
    size_t w = (size_t)sprintf(want, "[1000");
    (void)state;
    n += (size_t)sprintf(in, "*1000\r\n");
    for (int i = 0; i < 1000; i++) {
        n += (size_t)sprintf(in + n, "$1024\r\n%01024d\r\n", i);
        w += (size_t)sprintf(want + w, " $%01024d", i);
    }
    want[w++] = '\n';
    struct rendered t = read_pieces(MAX_BULK, in, n, 131072, 131072);
    bool same = t.error == 0 && t.len == w && memcmp(t.out, want, w) == 0;
    free(in), free(want), free(t.out);
    assert_true(same);
}

/* 64 KiB pieces: were each piece looked at from the beginning of the string, this would be 2 GiB of
 * copying. */
static void a_string_of_16_mib_comes_in_pieces(void **state)
{
    size_t len = (size_t)16 << 20, n = 0;
    char *in = malloc(len + 64);
    (void)state;
    n = (size_t)sprintf(in, "$%zu\r\n", len);
    memset(in + n, 'x', len);
    memcpy(in + n + len, "\r\n", 2);
    struct rendered t = read_pieces(len, in, n + len + 2, 4096, 65536);
    bool same = t.error == 0 && t.len == len + 2 && t.out[0] == '$' && t.out[len] == 'x';
    free(in), free(t.out);
    assert_true(same);
}

static size_t in_use(void)
{
    struct mallinfo2 m = mallinfo2(); /* nothing but zeros under a sanitizer */
    return m.uordblks + m.hblkhd;
}

static void a_large_reply_gives_its_memory_back(void **state)
{
    size_t len = (size_t)16 << 20, used;
    char *in = malloc(len + 64);
    size_t n = (size_t)sprintf(in, "$%zu\r\n", len), before = in_use();
    struct redis_reader *r = redis_reader_new(len);
    const struct redis_reply *reply;
    struct err e;
    (void)state;
    memset(in + n, 'x', len);
    memcpy(in + n + len, "\r\n+OK\r\n", 7);
    int error = redis_reader_read(r, in, n + len + 7, &used, &reply, &e);
    bool large = !error && reply && reply->len == len;
    error = redis_reader_read(r, in + used, n + len + 7 - used, &used, &reply, &e);
    bool small = !error && redis_is(reply, "OK");
    size_t after = in_use();
    (void)redis_reader_free(r);
    free(in);
    assert_true(large);
    assert_true(small);
    assert_true(after < before + ((size_t)1 << 20));
}

static void a_million_errors_in_a_row_are_read(void **state)
{
    size_t n = 1000000, one = strlen("-ERR x\r\n"), got = 0, at = 0, used = 0;
    char *in = malloc(n * one);
    struct redis_reader *r = redis_reader_new(MAX_BULK);
    const struct redis_reply *reply;
    struct err e;
    int error = 0;
    (void)state;
    for (size_t i = 0; i < n; i++)
        memcpy(in + i * one, "-ERR x\r\n", one);
    while (!error && at < n * one) {
        error = redis_reader_read(r, in + at, n * one - at, &used, &reply, &e);
        got += !error && redis_is_error(reply, "ERR");
        at += used;
    }
    (void)redis_reader_free(r);
    free(in);
    assert_int_equal(error, 0);
    assert_int_equal(got, n);
}

static void an_error_is_known_by_its_first_word(void **state)
{
    struct redis_reply r = {
        .type = REDIS_ERROR, .str = (char *)(uintptr_t) "OOM command not allowed", .len = 23};
    (void)state;
    assert_true(redis_is_error(&r, "OOM"));
    assert_false(redis_is_error(&r, "OO"));
    assert_false(redis_is_error(&r, "OOM command not allowed when"));
    assert_false(redis_is_error(NULL, "OOM"));
    assert_false(redis_is(&r, "OOM command not allowed"));
    r.type = REDIS_STRING;
    assert_true(redis_is(&r, "OOM command not allowed"));
    assert_false(redis_is_error(&r, "OOM"));
    assert_false(redis_is(&r, "OOM"));
    assert_false(redis_is(NULL, ""));
}

static void a_command_is_formatted_with_every_byte(void **state)
{
    static const char want[] = "*6\r\n$4\r\nEVAL\r\n$3\r\n\0\r\n\r\n$0\r\n\r\n$20\r\n-"
                               "9223372036854775808\r\n$1\r\n0\r\n$19\r\n"
                               "9223372036854775807\r\n";
    struct redis_command *c = redis_command_new();
    char *wire = NULL;
    size_t len = 0;
    (void)state;
    for (int i = 0; i < 2; i++) { /* used again: what was before is gone */
        redis_begin(c, "EVAL");
        redis_arg(c, "\0\r\n", 3);
        redis_arg(c, NULL, 0);
        redis_arg_int(c, INT64_MIN);
        redis_arg_int(c, 0);
        redis_arg_int(c, INT64_MAX);
    }
    assert_int_equal(redis_command_format(c, &wire, &len), 0);
    bool same = len == sizeof want - 1 && memcmp(wire, want, len) == 0;
    redis_wire_free(wire);
    (void)redis_command_free(c);
    assert_true(same);
}

static void numbers_stay_right_while_their_room_moves(void **state)
{
    struct redis_command *c = redis_command_new();
    char *wire = NULL, *want = malloc(1 << 20);
    size_t len = 0, n = (size_t)sprintf(want, "*5001\r\n$1\r\nX\r\n");
    (void)state;
    redis_begin(c, "X");
    for (int i = 0; i < 5000; i++) {
        char text[16];
        redis_arg_int(c, i * 7919);
        n += (size_t)sprintf(want + n, "$%d\r\n%s\r\n", sprintf(text, "%d", i * 7919), text);
    }
    assert_int_equal(redis_command_format(c, &wire, &len), 0);
    bool same = len == n && memcmp(wire, want, n) == 0;
    redis_wire_free(wire);
    (void)redis_command_free(c);
    free(want);
    assert_true(same);
}

static void a_script_goes_by_its_sum_and_again_by_its_text(void **state)
{
    static const struct redis_script s = {"x", "return 'a\n'", 11,
                                          "0123456789012345678901234567890123456789"};
    static const char tail[] = "\r\n$1\r\n1\r\n$4\r\nnone\r\n$1\r\nv\r\n";
    struct redis_command *c = redis_command_new();
    struct redis_eval eval;
    char *wire = NULL;
    size_t len = 0;
    (void)state;
    redis_begin_script(c, &s, 1);
    redis_arg_text(c, "none");
    redis_arg_text(c, "v");
    assert_int_equal(redis_command_format(c, &wire, &len), 0);
    assert_ptr_equal(redis_command_script(c), &s);
    redis_command_eval(wire, &s, &eval);
    bool by_sum = strncmp(wire, "*5\r\n$7\r\nEVALSHA\r\n$40\r\n0123456789", 32) == 0;
    bool same_tail = len - eval.tail_at == sizeof tail - 1 &&
                     memcmp(wire + eval.tail_at, tail, sizeof tail - 1) == 0;
    redis_wire_free(wire);
    (void)redis_command_free(c);
    assert_true(by_sum);
    assert_true(same_tail);
    assert_int_equal(eval.head_len, strlen("*5\r\n$4\r\nEVAL\r\n$11\r\n"));
    assert_memory_equal(eval.head, "*5\r\n$4\r\nEVAL\r\n$11\r\n", eval.head_len);
}

static void a_gigabyte_of_arguments_is_refused(void **state)
{
    struct redis_command *c = redis_command_new();
    char *wire = NULL;
    size_t len = 0;
    (void)state;
    redis_begin(c, "SET");
    redis_arg(c, "only its length is looked at", REDIS_COMMAND_MAX);
    int error = redis_command_format(c, &wire, &len);
    (void)redis_command_free(c);
    assert_int_equal(error, -EMSGSIZE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_split_gives_the_same_tree),
        cmocka_unit_test(replies_are_cut_out_of_one_piece),
        cmocka_unit_test(a_hostile_stream_is_an_error_and_no_tree),
        cmocka_unit_test(a_burst_of_1000_strings_keeps_every_byte),
        cmocka_unit_test(a_string_of_16_mib_comes_in_pieces),
        cmocka_unit_test(a_large_reply_gives_its_memory_back),
        cmocka_unit_test(a_million_errors_in_a_row_are_read),
        cmocka_unit_test(an_error_is_known_by_its_first_word),
        cmocka_unit_test(a_command_is_formatted_with_every_byte),
        cmocka_unit_test(numbers_stay_right_while_their_room_moves),
        cmocka_unit_test(a_script_goes_by_its_sum_and_again_by_its_text),
        cmocka_unit_test(a_gigabyte_of_arguments_is_refused),
    };
    return cmocka_run_group_tests_name("redis", tests, NULL, NULL);
}
