/* The scripts of fsck, against a real Redis: fsck_batch, fsck_owner, fsck_records, fsck_types. */
#include <stdio.h>

#include "tests/unit/script_assert.h"

#define F "i:e.1:1"
#define FRESH "1 e.1-1 0 0 -"
#define BATCH "b acked batches owner fenced"
#define PARTS_MAX 4

static const char *const parts[PARTS_MAX] = {"list", "acked", "entry", "any"};

/* What is answered for each part, without and with repair, which leaves `left`. */
static void judged(struct scripts *s, void (*have)(struct scripts *), const char *part,
                   const char *answer, const char *left)
{
    char args[128], before[4096];
    void *state = s;
    assert_int_equal(scripts_clear(&state), 0);
    have(s);
    (void)snprintf(before, sizeof before, "%s", redis_dump(s));
    (void)snprintf(args, sizeof args, "%s|" F "|e.1|" FRESH "|0", part);
    RUN(s, "fsck_batch", BATCH, args, answer);
    LEFT(s, before);
    args[strlen(args) - 1] = '1';
    RUN(s, "fsck_batch", BATCH, args, answer);
    LEFT(s, left ? left : before);
}

static void have_live(struct scripts *s)
{
    DO(s, "LPUSH b x y");
    DO(s, "SETBIT acked 0 1");
    DO(s, "HSET|batches|" F "|1 e.1-1 2 0 -");
    DO(s, "SET|owner|1 e.1 3 host 5");
}

static void a_batch_of_a_live_run_is_well(void **state)
{
    for (int i = 0; i < PARTS_MAX; i++)
        judged(*state, have_live, parts[i], "", NULL);
}

static void have_open(struct scripts *s)
{
    have_live(s);
    DO(s, "DEL owner");
    DO(s, "HSET|fenced|e.1|5 open");
}

static void a_batch_that_is_given_up_is_well(void **state)
{
    for (int i = 0; i < PARTS_MAX; i++)
        judged(*state, have_open, parts[i], "", NULL);
}

static void have_stray(struct scripts *s)
{
    have_live(s);
    DO(s, "SET|owner|1 e.2 3 host 5");
    DO(s, "HSET|fenced|e.1|5 empty");
}

static void a_stray_is_told_by_its_list_and_left(void **state)
{
    judged(*state, have_stray, "list", "stray", NULL);
    judged(*state, have_stray, "any", "stray", NULL);
    judged(*state, have_stray, "entry", "", NULL);
    judged(*state, have_stray, "acked", "", NULL);
}

static void have_no_entry(struct scripts *s)
{
    have_live(s);
    DO(s, "DEL batches");
}

static void a_missing_entry_is_written(void **state)
{
    judged(*state, have_no_entry, "list", "no-entry",
           "acked=<0> b=[y x] batches={" F ":" FRESH "} owner=\"1 e.1 3 host 5\"");
    judged(*state, have_no_entry, "acked", "", NULL);
}

static void have_bad_entry(struct scripts *s)
{
    have_live(s);
    DO(s, "HSET batches " F " rubbish");
}

static void an_entry_that_cannot_be_read_is_written_anew(void **state)
{
    judged(*state, have_bad_entry, "list", "bad-entry",
           "acked=<0> b=[y x] batches={" F ":" FRESH "} owner=\"1 e.1 3 host 5\"");
}

static void have_newer_entry(struct scripts *s)
{
    have_live(s);
    DO(s, "HSET|batches|" F "|2 e.1-1 and more");
}

static void an_entry_of_a_newer_version_is_left(void **state)
{
    judged(*state, have_newer_entry, "list", "newer", NULL);
}

static void have_no_list(struct scripts *s)
{
    have_live(s);
    DO(s, "DEL b");
}

static void an_entry_without_a_list_goes_with_its_bits(void **state)
{
    judged(*state, have_no_list, "entry", "no-list", "owner=\"1 e.1 3 host 5\"");
    judged(*state, have_no_list, "acked", "", NULL); /* the entry tells it */
}

static void have_bits(struct scripts *s)
{
    DO(s, "SETBIT acked 3 1");
    DO(s, "HSET batches other 1");
}

static void bits_alone_go(void **state)
{
    judged(*state, have_bits, "acked", "bits", "batches={other:1}");
}

static void have_nothing(struct scripts *s)
{
    (void)s;
}

static void what_is_gone_meanwhile_is_no_finding(void **state)
{
    for (int i = 0; i < PARTS_MAX; i++)
        judged(*state, have_nothing, parts[i], "", NULL);
}

#define OWNER "owner owners"

static void owner_key_and_beat_stand_together(void **state)
{
    struct scripts *s = *state;
    RUN(s, "fsck_owner", OWNER, "key|i|1", "");
    DO(s, "SET|owner|1 e.1 3 host 5");
    RUN(s, "fsck_owner", OWNER, "beat|i|1", ""); /* the key tells it */
    RUN(s, "fsck_owner", OWNER, "key|i|0", "no-beat");
    RUN(s, "fsck_owner", OWNER, "key|i|1", "no-beat");
    LEFT(s, "owner=\"1 e.1 3 host 5\" owners=(i)");
    SAYS(s, "1", "ZCOUNT owners 1700000000000 +inf");
    RUN(s, "fsck_owner", OWNER, "key|i|1", "");
    DO(s, "DEL owner");
    RUN(s, "fsck_owner", OWNER, "beat|i|0", "no-owner");
    RUN(s, "fsck_owner", OWNER, "beat|i|1", "no-owner");
    LEFT(s, "");
    DO(s, "SET|owner|2 new");
    RUN(s, "fsck_owner", OWNER, "key|i|1", "newer");
    LEFT(s, "owner=\"2 new\"");
}

static void records_are_looked_at_page_by_page(void **state)
{
    struct scripts *s = *state;
    RUN(s, "fsck_records", "dead", "0|9", "[-1]");
    DO(s,
       "ZADD|dead|1|e.1-1-0 1 1 0 5 6 {}\nx|2|e.1-1-1 2 any\nx|3|rubbish|4|e.1-1-2 1 1 0 5 6 {}");
    RUN(s, "fsck_records", "dead", "0|2", "[2 newer e.1-1-1 2 any\nx]");
    RUN(s, "fsck_records", "dead", "2|2", "[4 unreadable rubbish unreadable e.1-1-2 1 1 0 5 6 {}]");
    RUN(s, "fsck_records", "dead", "4|2", "[-1]");
    RUN(s, "fsck_records", "dead", "0|9",
        "[-1 newer e.1-1-1 2 any\nx unreadable rubbish unreadable e.1-1-2 1 1 0 5 6 {}]");
}

#define TYPES "q retry delayed dead popped batches fenced owners stats paused done next broken away"

static void every_key_of_a_wrong_type_is_named(void **state)
{
    struct scripts *s = *state;
    RUN(s, "fsck_types", TYPES, "", "[]");
    DO(s, "EVAL|for k in string.gmatch('" TYPES "', '%%a+') do redis.call('SADD', k, 1) end|0");
    RUN(s, "fsck_types", TYPES, "",
        "[q popped retry delayed dead owners batches fenced stats paused done next broken away]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_batch_of_a_live_run_is_well),
        TEST(a_batch_that_is_given_up_is_well),
        TEST(a_stray_is_told_by_its_list_and_left),
        TEST(a_missing_entry_is_written),
        TEST(an_entry_that_cannot_be_read_is_written_anew),
        TEST(an_entry_of_a_newer_version_is_left),
        TEST(an_entry_without_a_list_goes_with_its_bits),
        TEST(bits_alone_go),
        TEST(what_is_gone_meanwhile_is_no_finding),
        TEST(owner_key_and_beat_stand_together),
        TEST(records_are_looked_at_page_by_page),
        TEST(every_key_of_a_wrong_type_is_named),
    };
    return cmocka_run_group_tests_name("script_fsck", tests, scripts_begin, scripts_end);
}
