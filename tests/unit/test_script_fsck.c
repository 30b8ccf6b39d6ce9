/* The scripts of fsck, against a real Redis: fsck_batch, fsck_owner, fsck_records,
 * fsck_jobs, fsck_twice, fsck_queue, fsck_types. */
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

static void have_expiring(struct scripts *s)
{
    have_live(s);
    DO(s, "EXPIRE b 900");
    DO(s, "EXPIRE acked 900");
}

static void what_would_expire_stays(void **state)
{
    static const char stays[] =
        "acked=<0> b=[y x] batches={" F ":1 e.1-1 2 0 -} owner=\"1 e.1 3 host 5\"";
    judged(*state, have_expiring, "list", "expires", stays);
    judged(*state, have_expiring, "any", "expires", stays);
    judged(*state, have_expiring, "entry", "", NULL);
    judged(*state, have_expiring, "acked", "", NULL);
}

static void have_expiring_bits(struct scripts *s)
{
    have_live(s);
    DO(s, "HDEL batches " F);
    DO(s, "EXPIRE acked 900");
}

static void all_that_is_wrong_with_a_batch_is_told_at_once(void **state)
{
    judged(*state, have_expiring_bits, "list", "expires\nno-entry",
           "acked=<0> b=[y x] batches={" F ":" FRESH "} owner=\"1 e.1 3 host 5\"");
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

static void a_beat_that_is_an_hour_old_is_told(void **state)
{
    struct scripts *s = *state;
    DO(s, "SET|owner|1 e.1 3 host 5");
    DO(s, "EVAL|redis.call('ZADD', 'owners', redis.call('TIME')[1] * 1000 - 3500000, 'i')|0");
    RUN(s, "fsck_owner", OWNER, "key|i|1", "");
    DO(s, "EVAL|redis.call('ZADD', 'owners', redis.call('TIME')[1] * 1000 - 3602000, 'i')|0");
    RUN(s, "fsck_owner", OWNER, "beat|i|1", ""); /* the key tells it */
    RUN(s, "fsck_owner", OWNER, "key|i|1", "gone");
    RUN(s, "fsck_owner", OWNER, "any|i|1", "gone");
    LEFT(s, "owner=\"1 e.1 3 host 5\" owners=(i)");
}

static void records_are_looked_at_page_by_page(void **state)
{
    struct scripts *s = *state;
    RUN(s, "fsck_records", "dead", "0|9", "[-1]");
    DO(s,
       "ZADD|dead|4|e.1-1-0 1 1 0 5 6 {}\nx|3|e.1-1-1 2 any\nx|2|rubbish|1|e.1-1-2 1 1 0 5 6 {}");
    RUN(s, "fsck_records", "dead", "0|2", "[2 4  e.1-1-0 3 newer e.1-1-1 2 any\nx]");
    RUN(s, "fsck_records", "dead", "2|2",
        "[4 2 unreadable rubbish 1 unreadable e.1-1-2 1 1 0 5 6 {}]");
    RUN(s, "fsck_records", "dead", "4|2", "[-1]");
    RUN(s, "fsck_records", "dead", "1|1", "[2 3 newer e.1-1-1 2 any\nx]");
}

static void a_page_of_large_records_is_short(void **state)
{
    struct scripts *s = *state;
    DO(s, "EVAL|for i = 1, 3 do redis.call('ZADD', 'dead', i, 'e.1-1-' .. i .. ' 1 1 0 5 6 {}\\n' "
          ".. string.rep('x', 600000)) end|0");
    RUN(s, "fsck_records", "dead", "0|9", "[2 3  e.1-1-3 2  e.1-1-2]");
    RUN(s, "fsck_records", "dead", "2|9", "[-1 1  e.1-1-1]");
}

#define JOBS "b acked batches"

static void jobs_of_a_batch_that_are_not_settled_are_named(void **state)
{
    struct scripts *s = *state;
    DO(s, "LPUSH b a b c d");
    DO(s, "SETBIT acked 1 1");
    RUN(s, "fsck_jobs", JOBS, F "|0|0|9", "[-1]"); /* without an entry nobody knows them */
    DO(s, "HSET|batches|" F "|2 of tomorrow");
    RUN(s, "fsck_jobs", JOBS, F "|0|0|9", "[-1]");
    DO(s, "HSET|batches|" F "|1 d.3-5 2 0 -");
    RUN(s, "fsck_jobs", JOBS, F "|0|0|9", "[-1 0  d.3-5-0 2  d.3-5-2 3  d.3-5-3]");
    RUN(s, "fsck_jobs", JOBS, F "|0|0|2", "[2 0  d.3-5-0]");
    RUN(s, "fsck_jobs", JOBS, F "|0|2|2", "[-1 2  d.3-5-2 3  d.3-5-3]");
    DO(s, "DEL b");
    RUN(s, "fsck_jobs", JOBS, F "|0|0|9", "[-1]");
}

static void records_in_a_batch_are_looked_into(void **state)
{
    struct scripts *s = *state;
    DO(s, "LPUSH|b|e.1-4-1 1 1 0 5 6 {}\nx|settled|rubbish|e.1-4-2 3 any");
    DO(s, "SETBIT acked 1 1");
    DO(s, "HSET|batches|" F "|1 e.1-r1 0 0 -");
    RUN(s, "fsck_jobs", JOBS, F "|1|0|9",
        "[-1 0  e.1-4-1 2 unreadable rubbish 3 newer e.1-4-2 3 any]");
}

#define RECORD(payload) "e.1-1-0 1 1 0 5 6 {}\n" payload
#define TWICE "b acked owner c acked2 owner2"

static void have_two_batches(struct scripts *s, const char *live)
{
    void *state = s;
    assert_int_equal(scripts_clear(&state), 0);
    DO(s, "LPUSH b a y");
    DO(s, "LPUSH|c|z|" RECORD("a"));
    DO(s, "SET|%s|1 e.%c 1 h", live, live[5] ? '2' : '1');
}

static void of_two_batches_that_of_the_living_stays(void **state)
{
    struct scripts *s = *state;
    static const char args[] = "e.1-1-0|%d|list|e.1|0|records|e.2|1";
    char text[80];
    for (int repair = 0; repair < 2; repair++) {
        (void)snprintf(text, sizeof text, args, repair);
        have_two_batches(s, "owner");
        RUN(s, "fsck_twice", TWICE, text, "twice");
        LEFT(s, repair ? "acked2=<1> b=[y a] c=[" RECORD("a") " z] owner=\"1 e.1 1 h\""
                       : "b=[y a] c=[" RECORD("a") " z] owner=\"1 e.1 1 h\"");
        RUN(s, "fsck_twice", TWICE, text, repair ? "" : "twice");
        have_two_batches(s, "owner2");
        RUN(s, "fsck_twice", TWICE, text, "twice");
        LEFT(s, repair ? "acked=<0> b=[y a] c=[" RECORD("a") " z] owner2=\"1 e.2 1 h\""
                       : "b=[y a] c=[" RECORD("a") " z] owner2=\"1 e.2 1 h\"");
    }
}

static void what_is_settled_or_another_is_no_copy(void **state)
{
    struct scripts *s = *state;
    static const char args[] = "e.1-1-0|1|list|e.1|0|records|e.2|1";
    have_two_batches(s, "owner");
    DO(s, "SETBIT acked2 1 1");
    RUN(s, "fsck_twice", TWICE, args, "");
    have_two_batches(s, "owner");
    DO(s, "SETBIT acked 0 1");
    RUN(s, "fsck_twice", TWICE, args, "");
    RUN(s, "fsck_twice", TWICE, "e.1-1-0|1|list|e.1|1|records|e.2|0", "");
    RUN(s, "fsck_twice", TWICE, "e.1-1-0|1|list|e.1|1|records|e.2|1", "differs");
    RUN(s, "fsck_twice", TWICE, "e.1-1-0|1|list|e.1|9|records|e.2|1", "");
    DO(s, "DEL b");
    RUN(s, "fsck_twice", TWICE, args, "");
}

#define SETS "retry n1 n2 dead n3 n4"

static void a_dead_letter_goes_before_a_retry(void **state)
{
    struct scripts *s = *state;
    DO(s, "ZADD|retry|9|" RECORD("a") "|9|e.1-1-00 1 1 0 5 6 {}\na");
    DO(s, "ZADD|dead|7|e.1-1-0 1 3 0 5 6 {}\na|7|before|8|e.1-1-0 1 4 0 5 6 {}\nb");
    RUN(s, "fsck_twice", SETS, "e.1-1-0|1|set||9|set||6", ""); /* it is not there any more */
    RUN(s, "fsck_twice", SETS, "e.1-1-0|1|set||9|set||8", "differs");
    RUN(s, "fsck_twice", SETS, "e.1-1-0|0|set||9|set||7", "twice");
    RUN(s, "fsck_twice", SETS, "e.1-1-0|1|set||9|set||7", "twice");
    LEFT(s, "dead=(before e.1-1-0 1 4 0 5 6 {}\nb) "
            "retry=(" RECORD("a") " e.1-1-00 1 1 0 5 6 {}\na)");
    RUN(s, "fsck_twice", SETS, "e.1-1-0|1|set||9|set||7", "");
}

static void two_of_one_score_are_told_apart(void **state)
{
    struct scripts *s = *state;
    static const char keys[] = "retry n1 n2 retry n3 n4", args[] = "e.1-1-0|1|set||9|set||9";
    DO(s, "ZADD|retry|9|" RECORD("a"));
    RUN(s, "fsck_twice", keys, args, ""); /* seen twice, and one */
    DO(s, "ZADD|retry|9|e.1-1-0 1 2 0 5 6 {}\na");
    RUN(s, "fsck_twice", keys, args, "twice");
    LEFT(s, "retry=(" RECORD("a") ")");
}

#define STRANGER "paused owners batches popped retry dead"

static void a_queue_that_nobody_serves_is_told(void **state)
{
    struct scripts *s = *state;
    RUN(s, "fsck_queue", STRANGER, "", ""); /* the key has gone */
    DO(s, "SET paused x");
    RUN(s, "fsck_queue", STRANGER, "",
        "no-queue it holds nothing in flight, 0 jobs in passage, 0 retries, 0 dead letters");
    DO(s, "HSET batches f 1");
    DO(s, "ZADD retry 1 a 2 b");
    DO(s, "ZADD owners 5 i");
    RUN(s, "fsck_queue", STRANGER, "",
        "no-queue it holds batches in flight, 0 jobs in passage, 2 retries, 0 dead letters");
    DO(s, "EVAL|redis.call('ZADD', 'owners', redis.call('TIME')[1] * 1000 - 3500000, 'j')|0");
    RUN(s, "fsck_queue", STRANGER, "", "");
}

#define TYPES "q retry delayed dead popped batches fenced owners stats paused done next broken away"

static void every_key_of_a_wrong_type_is_named(void **state)
{
    struct scripts *s = *state;
    RUN(s, "fsck_types", TYPES, "0", "[]");
    DO(s, "EVAL|for k in string.gmatch('" TYPES "', '%%a+') do redis.call('SADD', k, 1) end|0");
    RUN(s, "fsck_types", TYPES, "0",
        "[wrong-type q wrong-type popped wrong-type retry wrong-type delayed wrong-type dead "
        "wrong-type owners wrong-type batches wrong-type fenced wrong-type stats wrong-type paused "
        "wrong-type done wrong-type next wrong-type broken wrong-type away]");
}

static void every_key_that_would_expire_is_named_and_ours_stay(void **state)
{
    struct scripts *s = *state;
    static const char told[] = "[expires popped expires retry expires dead expires batches "
                               "yours-expires q yours-expires delayed]";
    DO(s, "LPUSH q a");
    DO(s, "LPUSH popped a");
    DO(s, "HSET batches f 1");
    DO(s, "EVAL|for _, k in ipairs({'retry', 'dead', 'delayed'}) do redis.call('ZADD', k, 1, 'a') "
          "end for k in string.gmatch('" TYPES "', '%%a+') do redis.call('EXPIRE', k, 900) end|0");
    RUN(s, "fsck_types", TYPES, "0", told);
    RUN(s, "fsck_types", TYPES, "1", told);
    LEFT(s, "batches={f:1} dead=(a) delayed~=(a) popped=[a] q~=[a] retry=(a)");
    RUN(s, "fsck_types", TYPES, "1", "[yours-expires q yours-expires delayed]");
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
        TEST(what_would_expire_stays),
        TEST(all_that_is_wrong_with_a_batch_is_told_at_once),
        TEST(what_is_gone_meanwhile_is_no_finding),
        TEST(owner_key_and_beat_stand_together),
        TEST(a_beat_that_is_an_hour_old_is_told),
        TEST(records_are_looked_at_page_by_page),
        TEST(a_page_of_large_records_is_short),
        TEST(jobs_of_a_batch_that_are_not_settled_are_named),
        TEST(records_in_a_batch_are_looked_into),
        TEST(of_two_batches_that_of_the_living_stays),
        TEST(what_is_settled_or_another_is_no_copy),
        TEST(a_dead_letter_goes_before_a_retry),
        TEST(two_of_one_score_are_told_apart),
        TEST(a_queue_that_nobody_serves_is_told),
        TEST(every_key_of_a_wrong_type_is_named),
        TEST(every_key_that_would_expire_is_named_and_ours_stay),
    };
    return cmocka_run_group_tests_name("script_fsck", tests, scripts_begin, scripts_end);
}
