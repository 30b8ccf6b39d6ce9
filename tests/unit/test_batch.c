/* LDFLAGS: -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=strdup,--wrap=asprintf */
/* One batch: its names, what is known of its jobs, its entry in Redis. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "daemon/batch.h"
#include "daemon/queue.h"
#include "tests/lib/oom.h"

static struct queue queue;

static int begin(void **state)
{
    (void)state;
    queue = (struct queue){.instance = "host"};
    queue.epoch = epoch_new("0123456789abcdef", 3);
    return !queue.epoch || keys_init(&queue.key, "jobs", "host");
}

static int end(void **state)
{
    (void)state;
    keys_deinit(&queue.key);
    queue.epoch = epoch_unref(queue.epoch);
    return 0;
}

static void an_epoch_has_a_name_and_no_job_of_it_may_start_yet(void **state)
{
    (void)state;
    assert_string_equal(queue.epoch->name, "0123456789abcdef.3");
    assert_true(atomic_load(&queue.epoch->start_until) == INT64_MIN);
    struct epoch *e = epoch_new("ffffffffffffffff", UINT32_MAX);
    assert_non_null(e);
    assert_string_equal(e->name, "ffffffffffffffff.4294967295");
    assert_ptr_equal(epoch_ref(e), e);
    assert_null(epoch_unref(e));
    assert_string_equal(e->name, "ffffffffffffffff.4294967295"); /* one reference is left */
    assert_null(epoch_unref(e));
    assert_null(epoch_unref(NULL));
}

static void a_batch_knows_its_keys_its_field_and_its_birth(void **state)
{
    (void)state;
    struct batch *b = batch_new(&queue, "", 18446744073709551615u);
    assert_non_null(b);
    assert_string_equal(b->name, "18446744073709551615");
    assert_string_equal(b->field, "host:0123456789abcdef.3:18446744073709551615");
    assert_string_equal(b->birth, "0123456789abcdef.3-18446744073709551615");
    assert_string_equal(b->list,
                        "rpopd:{jobs}:inflight:host:0123456789abcdef.3:18446744073709551615");
    assert_string_equal(b->acked,
                        "rpopd:{jobs}:acked:host:0123456789abcdef.3:18446744073709551615");
    assert_string_equal(b->mark, "-");
    assert_int_equal(queue.epoch->refs, 2);
    assert_null(batch_free(b));
    assert_int_equal(queue.epoch->refs, 1);
    assert_null(batch_free(NULL));
}

static void a_batch_of_records_has_an_r_before_its_number(void **state)
{
    (void)state;
    struct batch *b = batch_new(&queue, "r", 7);
    assert_non_null(b);
    assert_string_equal(b->name, "r7");
    assert_string_equal(b->field, "host:0123456789abcdef.3:r7");
    (void)batch_free(b);
}

static void bits_are_read_as_redis_writes_them(void **state)
{
    (void)state;
    static const uint8_t bits[] = {0x80, 0x01, 0x40}; /* SETBIT 0, 15, 17 */
    struct batch *b = batch_new(&queue, "", 1);
    assert_non_null(b);
    assert_int_equal(batch_fill(b, 20, bits, sizeof bits), 0);
    for (uint32_t i = 0; i < 20; i++)
        assert_int_equal(batch_bit(b, i), i == 0 || i == 15 || i == 17);
    assert_int_equal(b->length, 20);
    assert_int_equal(b->unsettled, 17);
    assert_int_equal(batch_unread(b), 20);
    assert_int_equal(batch_begun(b), 0);
    (void)batch_free(b);
}

/* Redis' string ends with the last byte that has a bit; it may also be longer than the list. */
static void bits_may_be_fewer_or_more_than_jobs(void **state)
{
    (void)state;
    static const uint8_t one[] = {0x40}, many[100] = {[1] = 0xff, [2] = 0xff, [99] = 0xff};
    struct batch *b = batch_new(&queue, "", 1);
    assert_non_null(b);
    assert_int_equal(batch_fill(b, 1000, one, 1), 0);
    assert_true(batch_bit(b, 1));
    assert_false(batch_bit(b, 999));
    assert_int_equal(b->unsettled, 999);
    (void)batch_free(b);
    b = batch_new(&queue, "", 2);
    assert_non_null(b);
    assert_int_equal(batch_fill(b, 10, many, sizeof many), 0);
    assert_true(batch_bit(b, 8) && batch_bit(b, 9));
    assert_int_equal(b->unsettled, 8);
    (void)batch_free(b);
}

static void without_bits_nothing_is_settled(void **state)
{
    (void)state;
    struct batch *b = batch_new(&queue, "", 1);
    assert_non_null(b);
    assert_int_equal(batch_fill(b, 3, NULL, 0), 0);
    assert_int_equal(b->unsettled, 3);
    assert_false(batch_bit(b, 2));
    (void)batch_free(b);
    b = batch_new(&queue, "", 2);
    assert_non_null(b);
    assert_int_equal(batch_fill(b, 0, NULL, 0), 0);
    assert_int_equal(batch_unread(b), 0);
    assert_int_equal(batch_begun(b), 0);
    (void)batch_free(b);
}

static void what_is_gone_has_nothing_to_read(void **state)
{
    (void)state;
    struct batch *b = batch_new(&queue, "", 1);
    assert_non_null(b);
    assert_int_equal(batch_fill(b, 5, NULL, 0), 0);
    b->read = 2;
    assert_int_equal(batch_unread(b), 3);
    b->gone = true;
    assert_int_equal(batch_unread(b), 0);
    (void)batch_free(b);
}

static void begun_is_one_behind_the_last_that_runs_or_ended(void **state)
{
    (void)state;
    static const struct conf_queue conf = {.name = (char *)"jobs"};
    struct batch *b = batch_new(&queue, "", 1);
    assert_non_null(b);
    assert_int_equal(batch_fill(b, 6, NULL, 0), 0);
    for (int i = 0; i < 5; i++)
        b->job[i] = job_new(&conf, "1", 1);
    b->read = 5;
    assert_int_equal(batch_begun(b), 0);
    b->job[1]->running = true;
    assert_int_equal(batch_begun(b), 2);
    b->job[3]->outcome = JOB_DONE;
    assert_int_equal(batch_begun(b), 4);
    b->job[3] = job_free(b->job[3]); /* settled: it holds nothing back */
    assert_int_equal(batch_begun(b), 2);
    (void)batch_free(b); /* frees the jobs that are left */
}

static void an_entry_says_where_the_batch_was_born_and_what_befell_it(void **state)
{
    (void)state;
    struct batch *b = batch_new(&queue, "", 7), *c = batch_new(&queue, "", 8);
    assert_non_null(b);
    assert_non_null(c);
    char *fresh = batch_entry(b);
    assert_string_equal(fresh, "1 0123456789abcdef.3-7 0 0 -");
    b->recoveries = 4;
    b->strikes = 2;
    strcpy(b->mark, "4294967295");
    char *text = batch_entry(b);
    assert_string_equal(text, "1 0123456789abcdef.3-7 4 2 4294967295");
    assert_int_equal(batch_parse_entry(c, text, strlen(text)), 0);
    assert_string_equal(c->birth, "0123456789abcdef.3-7");
    assert_int_equal(c->recoveries, 4);
    assert_int_equal(c->strikes, 2);
    assert_string_equal(c->mark, "4294967295");
    free(fresh);
    free(text);
    (void)batch_free(b);
    (void)batch_free(c);
}

#define B10 "bbbbbbbbbb"
#define B80 B10 B10 B10 B10 B10 B10 B10 B10

static void the_longest_entry_is_read(void **state)
{
    (void)state;
    static const char text[] = "1 " B80 " 999999999 999999999 4294967295";
    struct batch *b = batch_new(&queue, "", 1);
    assert_non_null(b);
    assert_int_equal(batch_parse_entry(b, text, strlen(text)), 0);
    assert_string_equal(b->birth, B80);
    assert_int_equal(b->recoveries, 999999999);
    char *again = batch_entry(b);
    assert_string_equal(again, text);
    free(again);
    (void)batch_free(b);
}

/* The scripts know `^1 (%S+) (%d+) (%d+) ([%d-]+)$` and call the rest `newer`: the daemon reads
 * nothing into such an entry either. */
static void what_is_no_entry_of_this_version_changes_nothing(void **state)
{
    (void)state;
#define ROW(text)             \
    {                         \
        text, sizeof text - 1 \
    }
    static const struct {
        const char *text;
        size_t len;
    } rows[] = {
        ROW(""),
        ROW("1"),
        ROW("1 "),
        ROW("1 b"),
        ROW("1 b 0"),
        ROW("1 b 0 0"),
        ROW("1 b 0 0 "),
        ROW("2 b 0 0 -"),
        ROW("10 b 0 0 -"),
        ROW("11 0 0 0"),
        ROW("1b 0 0 -"),
        ROW(" 1 b 0 0 -"),
        ROW("1  b 0 0 -"),
        ROW("1 b  0 0 -"),
        ROW("1\tb 0 0 -"),
        ROW("1 b 0\n0 -"),
        ROW("1 b 0 0 - "),
        ROW("1 b 0 0 -\n"),
        ROW("1 b 0 0 - x"),
        ROW("1 b 0 0 -\0"),
        ROW("1 b\0 0 0 -"),
        ROW("1 b -1 0 -"),
        ROW("1 b 0 -1 -"),
        ROW("1 b +1 0 -"),
        ROW("1 b x 0 -"),
        ROW("1 b 0x1 0 -"),
        ROW("1 b 1.5 0 -"),
        ROW("1 b 0 0 12345678901234567890"),
        ROW("1 b 0 0 x"),
        ROW("1 b 12345678901 -"),
        ROW("1 b 99999999999 0 -"),
        ROW("1 " B80 "b 0 0 -"),
        ROW("1 " B80 "12345 3 -"),
        ROW("1 1" B80 B80 B80 " 0 0 -"),
    };
    struct batch *b = batch_new(&queue, "", 7);
    assert_non_null(b);
    int taken = 0;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (batch_parse_entry(b, rows[i].text, rows[i].len) != -EINVAL) {
            print_error("read as an entry: '%s'\n", rows[i].text);
            taken++;
        }
    assert_int_equal(taken, 0);
    char *same = batch_entry(b);
    assert_string_equal(same, "1 0123456789abcdef.3-7 0 0 -");
    free(same);
    (void)batch_free(b);
}

static void without_memory_nothing_is_half_made(void **state)
{
    (void)state;
    static const uint8_t bits[] = {0xff};
    struct batch *b = NULL;
    unsigned n = 0;
    while (!b) {
        oom_arm(++n);
        b = batch_new(&queue, "", 1);
        assert_int_equal(oom_disarm(), !b);
        assert_int_equal(queue.epoch->refs, b ? 2 : 1);
    }
    assert_int_equal(n, 6);
    for (n = 1; n <= 2; n++) {
        oom_arm(n);
        int r = batch_fill(b, 8, bits, 1);
        assert_true(oom_disarm());
        assert_int_equal(r, -ENOMEM);
        assert_int_equal(b->length, 0);
    }
    assert_int_equal(batch_fill(b, 8, bits, 1), 0);
    oom_arm(1);
    char *entry = batch_entry(b);
    assert_true(oom_disarm());
    assert_null(entry);
    oom_arm(1);
    int r = batch_parse_entry(b, "1 b 1 2 3", 9);
    assert_true(oom_disarm());
    assert_int_equal(r, -ENOMEM);
    assert_int_equal(b->recoveries, 0);
    assert_string_equal(b->mark, "-");
    oom_arm(1);
    struct epoch *e = epoch_new("r", 1);
    assert_true(oom_disarm());
    assert_null(e);
    (void)batch_free(b);
}

static void who_brought_the_daemon_down_too_often_is_condemned(void **state)
{
    (void)state;
    static const struct {
        const char *mark;
        unsigned strikes;
        const char *want;
    } rows[] = {
        {"-", 9, NULL},
        {"5", 1, NULL},
        {"5", 2, "the daemon died while it ran alone"},
        {"-5", 2, NULL},
        {"-5", 3, "it brought the daemon down"},
        {"50", 9, NULL},
        {"--5", 9, NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct batch b = {.strikes = rows[i].strikes};
        strcpy(b.mark, rows[i].mark);
        const char *why = batch_condemned(&b, 5, 3);
        assert_int_equal(!why, !rows[i].want);
        if (why)
            assert_string_equal(why, rows[i].want);
        assert_null(batch_condemned(&b, 4, 3));
        assert_null(batch_condemned(&b, 0, 3));
    }
}

static void nothing_of_a_trial_is_read_as_slots_come_free(void **state)
{
    (void)state;
    struct batch b = {.length = 7, .read = 2};
    assert_int_equal(batch_unread(&b), 5);
    b.trial = true;
    assert_int_equal(batch_unread(&b), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(who_brought_the_daemon_down_too_often_is_condemned),
        TEST(nothing_of_a_trial_is_read_as_slots_come_free),
        TEST(an_epoch_has_a_name_and_no_job_of_it_may_start_yet),
        TEST(a_batch_knows_its_keys_its_field_and_its_birth),
        TEST(a_batch_of_records_has_an_r_before_its_number),
        TEST(bits_are_read_as_redis_writes_them),
        TEST(bits_may_be_fewer_or_more_than_jobs),
        TEST(without_bits_nothing_is_settled),
        TEST(what_is_gone_has_nothing_to_read),
        TEST(begun_is_one_behind_the_last_that_runs_or_ended),
        TEST(an_entry_says_where_the_batch_was_born_and_what_befell_it),
        TEST(the_longest_entry_is_read),
        TEST(what_is_no_entry_of_this_version_changes_nothing),
        TEST(without_memory_nothing_is_half_made),
    };
    return cmocka_run_group_tests_name("batch", tests, NULL, NULL);
}
