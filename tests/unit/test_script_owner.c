/* The scripts of ownership against a real Redis: register, beat, release, fence, fence_epoch,
 * mark_empty, look, live. After each what is in Redis is compared as a whole. */
#include <stdlib.h>

#include "tests/unit/script_assert.h"

#define OWNER_KEYS "owner owners fenced"

static void register_writes_owner_and_member(void **state)
{
    struct scripts *s = *state;
    RUN(s, "register", OWNER_KEYS, "e.1|1|host 42|i", "[ok 1]");
    LEFT(s, "owner=\"1 e.1 1 host 42\" owners=(i)");
}

static void register_renews_the_same_epoch(void **state)
{
    struct scripts *s = *state;
    RUN(s, "register", OWNER_KEYS, "e.1|7|host 42|i", "[ok 7]");
    DO(s, "ZADD owners 5 i");
    RUN(s, "register", OWNER_KEYS, "e.1|7|host 42|i", "[ok 7]");
    LEFT(s, "owner=\"1 e.1 7 host 42\" owners=(i)");
    assert_string_not_equal(redis_run(s, "ZSCORE owners i"), "5");
}

static void register_raises_the_link_number_and_never_lowers_it(void **state)
{
    struct scripts *s = *state;
    RUN(s, "register", OWNER_KEYS, "e.1|9|host 42|i", "[ok 9]");
    RUN(s, "register", OWNER_KEYS, "e.1|10|host 42|i", "[ok 10]"); /* no text is compared */
    RUN(s, "register", OWNER_KEYS, "e.1|2|host 42|i", "[ok 10]");
    LEFT(s, "owner=\"1 e.1 10 host 42\" owners=(i)");
}

static void register_is_refused_while_another_epoch_is_live(void **state)
{
    struct scripts *s = *state;
    RUN(s, "register", OWNER_KEYS, "e.1|1|host 42|i", "[ok 1]");
    DO(s, "ZADD owners 5 i");
    RUN(s, "register", OWNER_KEYS, "f.1|1|else 7|i", "[other 1 e.1 1 host 42 5]");
    RUN(s, "register", OWNER_KEYS, "e.11|1|else 7|i", "[other 1 e.1 1 host 42 5]");
    LEFT(s, "owner=\"1 e.1 1 host 42\" owners=(i)");
    DO(s, "DEL owners");
    RUN(s, "register", OWNER_KEYS, "f.1|1|else 7|i", "[other 1 e.1 1 host 42 ]");
    LEFT(s, "owner=\"1 e.1 1 host 42\"");
}

static void register_is_refused_for_what_was_fenced(void **state)
{
    struct scripts *s = *state;
    DO(s, "HSET fenced e.1 5");
    RUN(s, "register", OWNER_KEYS, "e.1|1|host 42|i", "[fenced]");
    LEFT(s, "fenced={e.1:5}");
    RUN(s, "register", OWNER_KEYS, "e.2|1|host 42|i", "[ok 1]");
    RUN(s, "register", OWNER_KEYS, "e.1|1|host 42|i", "[fenced]"); /* before `other` */
}

static void an_owner_of_a_newer_version_is_another(void **state)
{
    struct scripts *s = *state;
    DO(s, "SET|owner|2 e.1 1 host");
    RUN(s, "register", OWNER_KEYS, "e.1|1|host 42|i", "[other 2 e.1 1 host ]");
    RUN(s, "beat", OWNER_KEYS, "e.1|i", "0");
    RUN(s, "release", "owner owners popped", "e.1|i", "0");
    LEFT(s, "owner=\"2 e.1 1 host\"");
}

static void beat_confirms_its_owner_and_moves_its_score(void **state)
{
    struct scripts *s = *state;
    RUN(s, "register", OWNER_KEYS, "e.1|1|host 42|i", "[ok 1]");
    DO(s, "ZADD owners 5 i 6 k");
    RUN(s, "beat", OWNER_KEYS, "e.1|i", "1");
    LEFT(s, "owner=\"1 e.1 1 host 42\" owners=(k i)");
    SAYS(s, "[i]", "ZRANGE owners 1700000000000 +inf BYSCORE"); /* ms, and of our time */
}

static void beat_creates_nothing_for_who_is_not_named(void **state)
{
    struct scripts *s = *state;
    RUN(s, "beat", OWNER_KEYS, "e.1|i", "0");
    LEFT(s, "");
    RUN(s, "register", OWNER_KEYS, "e.1|1|host 42|i", "[ok 1]");
    DO(s, "ZREM owners i");
    RUN(s, "beat", OWNER_KEYS, "e.2|i", "0");
    RUN(s, "beat", OWNER_KEYS, "e.11|i", "0");
    LEFT(s, "owner=\"1 e.1 1 host 42\"");
}

static void beat_tells_who_was_fenced(void **state)
{
    struct scripts *s = *state;
    DO(s, "HSET fenced e.1 5");
    RUN(s, "beat", OWNER_KEYS, "e.1|i", "-1");
    LEFT(s, "fenced={e.1:5}");
}

static void release_ends_an_epoch(void **state)
{
    struct scripts *s = *state;
    RUN(s, "register", OWNER_KEYS, "e.1|1|host 42|i", "[ok 1]");
    DO(s, "ZADD owners 6 k");
    RUN(s, "release", "owner owners popped", "e.1|i", "1");
    LEFT(s, "owners=(k)");
}

static void release_waits_until_nothing_lies_in_passage(void **state)
{
    struct scripts *s = *state;
    RUN(s, "register", OWNER_KEYS, "e.1|1|host 42|i", "[ok 1]");
    DO(s, "LPUSH popped a");
    RUN(s, "release", "owner owners popped", "e.1|i", "-1");
    LEFT(s, "owner=\"1 e.1 1 host 42\" owners=(i) popped=[a]");
}

static void release_leaves_another_epoch_alone(void **state)
{
    struct scripts *s = *state;
    RUN(s, "register", OWNER_KEYS, "e.1|1|host 42|i", "[ok 1]");
    RUN(s, "release", "owner owners popped", "e.2|i", "0");
    LEFT(s, "owner=\"1 e.1 1 host 42\" owners=(i)");
}

static void release_takes_a_member_without_an_owner_along(void **state)
{
    struct scripts *s = *state;
    DO(s, "ZADD owners 5 i 6 k");
    RUN(s, "release", "owner owners popped", "e.1|i", "0");
    LEFT(s, "owners=(k)");
}

static void fence_takes_the_queue_from_whose_beat_stands_still(void **state)
{
    struct scripts *s = *state;
    DO(s, "SET|owner|1 e.1 1 host 42");
    DO(s, "ZADD owners 1700000000005 i 6 k");
    DO(s, "HSET fenced e.0 5");
    DO(s, "EXPIRE fenced 3600");
    RUN(s, "fence", OWNER_KEYS, "i|1700000000005", "e.1");
    LEFT(s, "fenced={e.0:5, e.1:T open} owners=(k)");
}

static void fence_spares_whose_beat_moved(void **state)
{
    struct scripts *s = *state;
    RUN(s, "register", OWNER_KEYS, "e.1|1|host 42|i", "[ok 1]");
    RUN(s, "fence", OWNER_KEYS, "i|1700000000005", "");
    RUN(s, "fence", OWNER_KEYS, "i|", "");
    LEFT(s, "owner=\"1 e.1 1 host 42\" owners=(i)");
}

static void fence_finds_an_owner_without_a_member(void **state)
{
    struct scripts *s = *state;
    RUN(s, "register", OWNER_KEYS, "e.1|1|host 42|i", "[ok 1]");
    DO(s, "DEL owners");
    RUN(s, "fence", OWNER_KEYS, "i|5", "");
    RUN(s, "fence", OWNER_KEYS, "i|", "e.1");
    LEFT(s, "fenced={e.1:T open}");
    RUN(s, "fence", OWNER_KEYS, "i|", "");
    LEFT(s, "fenced={e.1:T open}");
}

static void fence_removes_a_member_without_an_owner(void **state)
{
    struct scripts *s = *state;
    DO(s, "ZADD owners 5 i 6 k");
    RUN(s, "fence", OWNER_KEYS, "i|5", "");
    LEFT(s, "owners=(k)");
}

static void fence_leaves_a_newer_version_alone(void **state)
{
    struct scripts *s = *state;
    DO(s, "SET|owner|2 e.1 1 host");
    DO(s, "ZADD owners 5 i");
    RUN(s, "fence", OWNER_KEYS, "i|5", "");
    LEFT(s, "owner=\"2 e.1 1 host\" owners=(i)");
}

static void a_fenced_owner_can_neither_beat_nor_renew(void **state)
{
    struct scripts *s = *state;
    RUN(s, "register", OWNER_KEYS, "e.1|1|host 42|i", "[ok 1]");
    DO(s, "ZADD owners 5 i");
    RUN(s, "fence", OWNER_KEYS, "i|5", "e.1");
    RUN(s, "beat", OWNER_KEYS, "e.1|i", "-1");
    RUN(s, "register", OWNER_KEYS, "e.1|2|host 42|i", "[fenced]");
    RUN(s, "register", OWNER_KEYS, "e.2|1|host 42|i", "[ok 1]");
}

static void fence_epoch_by_proof_takes_a_live_one(void **state)
{
    struct scripts *s = *state;
    RUN(s, "register", OWNER_KEYS, "e.1|1|host 42|i", "[ok 1]");
    RUN(s, "fence_epoch", OWNER_KEYS, "i|e.1|1", "1");
    LEFT(s, "fenced={e.1:T open}");
}

static void fence_epoch_without_proof_spares_a_live_one(void **state)
{
    struct scripts *s = *state;
    RUN(s, "register", OWNER_KEYS, "e.1|1|host 42|i", "[ok 1]");
    RUN(s, "fence_epoch", OWNER_KEYS, "i|e.1|0", "0");
    LEFT(s, "owner=\"1 e.1 1 host 42\" owners=(i)");
}

static void fence_epoch_opens_a_stray_and_spares_who_is_live(void **state)
{
    struct scripts *s = *state;
    RUN(s, "register", OWNER_KEYS, "e.2|1|host 42|i", "[ok 1]");
    DO(s, "HSET fenced e.0 5");
    DO(s, "EXPIRE fenced 3600");
    RUN(s, "fence_epoch", OWNER_KEYS, "i|e.1|0", "1");
    RUN(s, "fence_epoch", OWNER_KEYS, "i|e.0|1", "1"); /* it was closed: open again */
    LEFT(s, "fenced={e.0:T open, e.1:T open} owner=\"1 e.2 1 host 42\" owners=(i)");
}

static void mark_empty_closes_an_epoch_and_the_hash_expires(void **state)
{
    struct scripts *s = *state;
    DO(s, "HSET|fenced|e.1|5 open");
    RUN(s, "mark_empty", "fenced", "e.1", "1");
    LEFT(s, "fenced~={e.1:T empty}");
    assert_in_range(atoi(redis_run(s, "TTL fenced")), 3590, 3600);
}

static void mark_empty_keeps_the_hash_while_one_is_open(void **state)
{
    struct scripts *s = *state;
    DO(s, "HSET|fenced|e.1|5 open|e.2|5 open");
    RUN(s, "mark_empty", "fenced", "e.1", "1");
    LEFT(s, "fenced={e.1:T empty, e.2:5 open}");
}

static void mark_empty_invents_no_epoch(void **state)
{
    struct scripts *s = *state;
    RUN(s, "mark_empty", "fenced", "e.1", "1");
    LEFT(s, "");
}

/* Redis' own time is what counts: an hour and a second ago, an hour but a minute ago. */
static void mark_empty_removes_what_has_been_empty_for_an_hour(void **state)
{
    struct scripts *s = *state;
    DO(s, "EVAL|local t = redis.call('TIME')[1] * 1000 "
          "redis.call('HSET', 'fenced', 'e.1', t - 3601000 .. ' empty', 'e.2', t - 3540000 .. ' "
          "empty', "
          "'e.3', t - 9000000 .. ' open', 'e.4', t .. ' open', 'e.5', 'junk')|0");
    RUN(s, "mark_empty", "fenced", "e.4", "1");
    LEFT(s, "fenced={e.2:T empty, e.3:T open, e.4:T empty}");
}

static void look_counts_passage_and_open_epochs_and_names_the_owners(void **state)
{
    struct scripts *s = *state;
    RUN(s, "look", "popped fenced owners", "", "[0 0 []]");
    DO(s, "LPUSH popped a b c");
    DO(s, "HSET|fenced|e.1|5 open|e.2|5 empty|e.3|6 open");
    DO(s, "ZADD owners 1700000000005 k 3 i");
    RUN(s, "look", "popped fenced owners", "", "[3 2 [i 3 k 1700000000005]]");
    LEFT(s, "fenced={e.1:5 open, e.2:5 empty, e.3:6 open} owners=(i k) popped=[c b a]");
}

static void live_tells_epoch_and_beat_of_each_that_is_asked_about(void **state)
{
    struct scripts *s = *state;
    DO(s, "SET|owner:i|1 e.1 7 host");
    DO(s, "SET|owner:k|1 f.2 1 host");
    DO(s, "SET|owner:n|2 g.1 1 host");
    DO(s, "ZADD owners 1700000000005 i 4 m");
    RUN(s, "live", "owners owner:i owner:k owner:m owner:n owner:o", "i|k|m|n|o",
        "[e.1 1700000000005 f.2   4 ?   ]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(register_writes_owner_and_member),
        TEST(register_renews_the_same_epoch),
        TEST(register_raises_the_link_number_and_never_lowers_it),
        TEST(register_is_refused_while_another_epoch_is_live),
        TEST(register_is_refused_for_what_was_fenced),
        TEST(an_owner_of_a_newer_version_is_another),
        TEST(beat_confirms_its_owner_and_moves_its_score),
        TEST(beat_creates_nothing_for_who_is_not_named),
        TEST(beat_tells_who_was_fenced),
        TEST(release_ends_an_epoch),
        TEST(release_waits_until_nothing_lies_in_passage),
        TEST(release_leaves_another_epoch_alone),
        TEST(release_takes_a_member_without_an_owner_along),
        TEST(fence_takes_the_queue_from_whose_beat_stands_still),
        TEST(fence_spares_whose_beat_moved),
        TEST(fence_finds_an_owner_without_a_member),
        TEST(fence_removes_a_member_without_an_owner),
        TEST(fence_leaves_a_newer_version_alone),
        TEST(a_fenced_owner_can_neither_beat_nor_renew),
        TEST(fence_epoch_by_proof_takes_a_live_one),
        TEST(fence_epoch_without_proof_spares_a_live_one),
        TEST(fence_epoch_opens_a_stray_and_spares_who_is_live),
        TEST(mark_empty_closes_an_epoch_and_the_hash_expires),
        TEST(mark_empty_keeps_the_hash_while_one_is_open),
        TEST(mark_empty_invents_no_epoch),
        TEST(mark_empty_removes_what_has_been_empty_for_an_hour),
        TEST(look_counts_passage_and_open_epochs_and_names_the_owners),
        TEST(live_tells_epoch_and_beat_of_each_that_is_asked_about),
    };
    return cmocka_run_group_tests_name("script_owner", tests, scripts_begin, scripts_end);
}
