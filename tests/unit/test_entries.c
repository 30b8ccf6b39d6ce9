/* LDFLAGS: -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=strdup,--wrap=asprintf */
/* The entries of `batches` and the open epochs of `fenced`: what is read, in which order, and what
 * is left alone. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "daemon/entries.h"
#include "tests/lib/oom.h"

#define PAIRS_MAX 400

/* An answer of field-value pairs; a text stands for itself. */
static struct redis_reply items[PAIRS_MAX], answer;
static char texts[PAIRS_MAX][64];

static void answer_begin(void)
{
    answer = (struct redis_reply){.type = REDIS_ARRAY, .item = items};
}

static void answer_add(enum redis_type type, const char *text, size_t len)
{
    size_t at = answer.n++;
    assert_true(at < PAIRS_MAX && len < sizeof texts[at]);
    items[at] = (struct redis_reply){.type = type, .len = len};
    if (type == REDIS_STRING || type == REDIS_STATUS || type == REDIS_ERROR) {
        memcpy(texts[at], text, len);
        texts[at][len] = '\0';
        items[at].str = texts[at];
    }
}

static void pair(const char *field, const char *value)
{
    answer_add(REDIS_STRING, field, strlen(field));
    answer_add(REDIS_STRING, value, strlen(value));
}

static void add(struct entries *e)
{
    assert_int_equal(entries_add(e, &answer), 0);
    answer_begin();
}

static int begin(void **state)
{
    (void)state;
    answer_begin();
    return 0;
}

static void a_field_is_taken_apart(void **state)
{
    (void)state;
    struct entries e = {0};
    pair("host.a-b_c:0123456789abcdef.12:345", "1 b 0 0 -");
    pair("host:e.1:r7", "1 c 0 0 -");
    add(&e);
    assert_int_equal(e.n, 2);
    assert_string_equal(e.at[0].field, "host.a-b_c:0123456789abcdef.12:345");
    assert_string_equal(e.at[0].value, "1 b 0 0 -");
    assert_string_equal(e.at[0].split, "host.a-b_c");
    assert_string_equal(e.at[0].epoch, "0123456789abcdef.12");
    assert_string_equal(e.at[0].name, "345");
    assert_int_equal(e.at[0].number, 345);
    assert_false(e.at[0].records);
    assert_true(e.at[1].records);
    assert_int_equal(e.at[1].number, 7);
    entries_clear(&e);
    assert_int_equal(e.n, 0);
    assert_null(e.at);
}

#define E39 "eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee"

static void what_is_no_field_of_ours_is_left_alone(void **state)
{
    (void)state;
    static const char *const fields[] = {
        "",
        "host",
        "host:e.1",
        "host:e.1:",
        "host:e.1:0",
        "host:e.1:x",
        "host:e.1:-1",
        "host:e.1:+1",
        "host:e.1:07",
        "host:e.1:7 ",
        "host:e.1: 7",
        "host:e.1:7x",
        "host:e.1:r",
        "host:e.1:r0",
        "host:e.1:rr7",
        "host:e.1:R7",
        "host:e.1:7:8",
        "a:host:e.1:7",
        "host::7",
        ":e.1:7",
        "host:e.1:1234567890123456789",
        "host:e.1:99999999999999999999999999999",
        "host:e" E39 ":7",
    };
    struct entries e = {0};
    int kept = 0;
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        pair(fields[i], "1 b 0 0 -");
        add(&e);
        if (e.n)
            print_error("kept: '%s'\n", fields[i]);
        kept += (int)e.n;
        entries_clear(&e);
    }
    assert_int_equal(kept, 0);
}

static void the_longest_names_are_kept(void **state)
{
    (void)state;
    struct entries e = {0};
    pair("h:" E39 ":1", "1 b 0 0 -");
    pair("h:e.1:999999999999999999", "1 b 0 0 -");
    pair("h:e.1:r999999999999999999", "1 b 0 0 -");
    add(&e);
    assert_int_equal(e.n, 3);
    assert_string_equal(e.at[0].epoch, E39);
    assert_int_equal(e.at[1].number, 999999999999999999);
    assert_int_equal(e.at[2].number, 999999999999999999);
    entries_clear(&e);
}

static void what_is_no_text_is_left_alone(void **state)
{
    (void)state;
    static const enum redis_type types[] = {REDIS_NIL, REDIS_INTEGER, REDIS_LARGE, REDIS_ARRAY,
                                            REDIS_ERROR};
    struct entries e = {0};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        answer_add(types[i], "host:e.1:7", 10);
        answer_add(REDIS_STRING, "1 b 0 0 -", 9);
        answer_add(REDIS_STRING, "host:e.1:7", 10);
        answer_add(types[i], "1 b 0 0 -", 9);
        add(&e);
    }
    answer_add(REDIS_STRING, "host:e.1:7\0x", 12);
    answer_add(REDIS_STRING, "1 b 0 0 -", 9);
    add(&e);
    assert_int_equal(e.n, 0);
    entries_clear(&e);
}

static void a_field_without_its_value_is_left_alone(void **state)
{
    (void)state;
    struct entries e = {0};
    pair("host:e.1:7", "1 b 0 0 -");
    answer_add(REDIS_STRING, "host:e.1:8", 10);
    add(&e);
    assert_int_equal(e.n, 1);
    add(&e); /* an empty answer */
    assert_int_equal(e.n, 1);
    entries_clear(&e);
}

static void entries_are_sorted_by_epoch_then_oldest_first_and_kept_once(void **state)
{
    (void)state;
    static const char *const want[] = {"host:a.1:2",   "host:a.1:10", "other:a.1:10",
                                       "host:a.1:r10", "host:a.10:1", "host:a.2:1"};
    struct entries e = {0};
    pair("host:a.2:1", "one");
    pair("host:a.1:10", "two");
    pair("host:a.10:1", "three");
    add(&e);
    pair("host:a.1:r10", "six");
    pair("host:a.1:2", "four");
    pair("host:a.1:10", "two");
    pair("other:a.1:10", "five");
    pair("host:a.1:10", "two");
    add(&e);
    entries_sort(&e);
    assert_int_equal(e.n, 6);
    assert_string_equal(e.at[0].field, want[0]);
    assert_string_equal(e.at[5].field, want[5]);
    for (size_t i = 0; i < 6; i++) {
        const struct entry *x = entries_find(&e, want[i]);
        assert_non_null(x);
        assert_string_equal(x->field, want[i]);
    }
    for (size_t i = 1; i < e.n; i++) {
        int r = strcmp(e.at[i - 1].epoch, e.at[i].epoch);
        assert_true(r < 0 || (r == 0 && e.at[i - 1].number <= e.at[i].number));
    }
    entries_clear(&e);
}

static void what_is_not_there_is_not_found(void **state)
{
    (void)state;
    struct entries e = {0};
    assert_null(entries_find(&e, "host:a.1:2"));
    entries_sort(&e);
    pair("host:a.1:2", "one");
    pair("host:a.1:4", "one");
    add(&e);
    entries_sort(&e);
    assert_null(entries_find(&e, "host:a.1:1"));
    assert_null(entries_find(&e, "host:a.1:3"));
    assert_null(entries_find(&e, "hosts:a.1:2"));
    assert_null(entries_find(&e, "host:a.1:r2"));
    assert_null(entries_find(&e, "host:a.2:2"));
    assert_null(entries_find(&e, "no field at all"));
    assert_non_null(entries_find(&e, "host:a.1:4"));
    entries_clear(&e);
}

static void many_entries_are_kept_over_many_answers(void **state)
{
    (void)state;
    struct entries e = {0};
    char field[32];
    for (int i = 2000; i > 0; i--) {
        (void)snprintf(field, sizeof field, "h:e.1:%d", i);
        pair(field, "1 b 0 0 -");
        if (i % 100 == 0)
            add(&e);
    }
    add(&e);
    entries_sort(&e);
    assert_int_equal(e.n, 2000);
    for (size_t i = 0; i < e.n; i++)
        assert_int_equal(e.at[i].number, i + 1);
    entries_clear(&e);
}

static void without_memory_what_was_kept_stays_whole(void **state)
{
    (void)state;
    unsigned n = 0;
    int r = -ENOMEM;
    for (int i = 1; i <= 100; i++) {
        char field[32];
        (void)snprintf(field, sizeof field, "h:e.1:%d", i);
        pair(field, "1 b 0 0 -");
    }
    while (r) {
        struct entries e = {0};
        oom_arm(++n);
        r = entries_add(&e, &answer);
        assert_int_equal(oom_disarm(), r != 0);
        assert_true(r == 0 || r == -ENOMEM);
        entries_sort(&e);
        if (e.n)
            assert_non_null(entries_find(&e, "h:e.1:1"));
        entries_clear(&e);
    }
    assert_true(n > 300);
}

static void only_open_epochs_are_taken(void **state)
{
    (void)state;
    struct epochs e = {0};
    pair("a.1", "1700000000000 open");
    pair("a.2", "1700000000000 empty");
    pair("a.3", "open");
    pair("a.4", "");
    pair("a.5", "1700000000000 open ");
    pair("a.6", "1700000000000 reopen");
    pair("e" E39, "1700000000000 open");
    pair(E39, "1700000000000 open");
    answer_add(REDIS_STRING, "a.7", 3);
    answer_add(REDIS_NIL, "", 0);
    answer_add(REDIS_INTEGER, "", 0);
    answer_add(REDIS_STRING, "1 open", 6);
    answer_add(REDIS_STRING, "a.8", 3);
    assert_int_equal(epochs_open(&e, &answer), 0);
    assert_int_equal(e.n, 2);
    assert_true(epochs_have(&e, "a.1"));
    assert_true(epochs_have(&e, E39));
    assert_false(epochs_have(&e, "a.2"));
    epochs_clear(&e);
    assert_int_equal(e.n, 0);
    assert_false(epochs_have(&e, "a.1"));
}

static void an_epoch_is_added_once(void **state)
{
    (void)state;
    struct epochs e = {0};
    assert_int_equal(epochs_add(&e, "a.1"), 0);
    assert_int_equal(epochs_add(&e, "a.2"), 0);
    assert_int_equal(epochs_add(&e, "a.1"), 0);
    pair("a.2", "1 open");
    assert_int_equal(epochs_open(&e, &answer), 0);
    assert_int_equal(e.n, 2);
    oom_arm(1);
    int r = epochs_add(&e, "a.3");
    assert_true(oom_disarm());
    assert_int_equal(r, -ENOMEM);
    assert_true(epochs_have(&e, "a.1") && epochs_have(&e, "a.2") && !epochs_have(&e, "a.3"));
    epochs_clear(&e);
}

#define TEST(f) cmocka_unit_test_setup(f, begin)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_field_is_taken_apart),
        TEST(what_is_no_field_of_ours_is_left_alone),
        TEST(the_longest_names_are_kept),
        TEST(what_is_no_text_is_left_alone),
        TEST(a_field_without_its_value_is_left_alone),
        TEST(entries_are_sorted_by_epoch_then_oldest_first_and_kept_once),
        TEST(what_is_not_there_is_not_found),
        TEST(many_entries_are_kept_over_many_answers),
        TEST(without_memory_what_was_kept_stays_whole),
        TEST(only_open_epochs_are_taken),
        TEST(an_epoch_is_added_once),
    };
    return cmocka_run_group_tests_name("entries", tests, NULL, NULL);
}
