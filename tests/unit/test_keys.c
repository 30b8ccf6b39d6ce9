/* LDFLAGS: -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=strdup,--wrap=asprintf */
/* The names of a queue's keys: what they are, that no two queues share one, that Redis puts all of
 * a queue into one slot. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "daemon/keys.h"
#include "tests/lib/oom.h"
#include "tests/lib/redis_server.h"

#define KEYS 11

static void list_keys(const struct keys *k, const char *at[KEYS])
{
    const char *all[KEYS] = {k->queue,  k->none,    k->owner, k->owners, k->fenced, k->paused,
                             k->popped, k->batches, k->stats, k->dead,   k->prefix};
    memcpy(at, all, sizeof all);
}

static void every_key_has_the_name_that_is_documented(void **state)
{
    (void)state;
    struct keys k;
    assert_int_equal(keys_init(&k, "jobs", "host-1"), 0);
    assert_string_equal(k.queue, "jobs");
    assert_string_equal(k.prefix, "rpopd:{jobs}:");
    assert_string_equal(k.none, "rpopd:{jobs}:none");
    assert_string_equal(k.owner, "rpopd:{jobs}:owner:host-1");
    assert_string_equal(k.owners, "rpopd:{jobs}:owners");
    assert_string_equal(k.fenced, "rpopd:{jobs}:fenced");
    assert_string_equal(k.paused, "rpopd:{jobs}:paused");
    assert_string_equal(k.popped, "rpopd:{jobs}:popped");
    assert_string_equal(k.batches, "rpopd:{jobs}:batches");
    assert_string_equal(k.stats, "rpopd:{jobs}:stats");
    assert_string_equal(k.dead, "rpopd:{jobs}:dead");
    char *list = keys_join(&k, "inflight:", "host-1:0a.1:7");
    assert_string_equal(list, "rpopd:{jobs}:inflight:host-1:0a.1:7");
    free(list);
    keys_deinit(&k);
}

static void a_hash_tag_of_the_queue_stays_the_tag_of_its_keys(void **state)
{
    (void)state;
    static const struct {
        const char *queue, *prefix;
    } rows[] = {
        {"{u}jobs", "rpopd:t7:{u}jobs:"}, {"a{u}", "rpopd:t4:a{u}:"},
        {"a{u}{v}", "rpopd:t7:a{u}{v}:"}, {"{{u}", "rpopd:t4:{{u}:"},
        {"a}b{u}", "rpopd:t6:a}b{u}:"},   {"{}jobs", "rpopd:{{}jobs}:"},
        {"{jobs", "rpopd:{{jobs}:"},      {"jobs}", "rpopd:{jobs}}:"},
        {"{}{u}", "rpopd:{{}{u}}:"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct keys k;
        assert_int_equal(keys_init(&k, rows[i].queue, "i"), 0);
        assert_string_equal(k.prefix, rows[i].prefix);
        keys_deinit(&k);
    }
}

/* Names that a user may give: all but those that begin with rpopd: (conf_check). */
static const char *const names[] = {
    "a",         "{a}",         "{a}:",   "a}:",      "a}",         "{a",        "t3:{a}",
    "{a}none",   "a}:none",     "a:none", "a}:owner", "a}:owner:i", "a}:owners", "{a}:owners",
    "{}",        "{}a",         "}{",     "}:{a",     "{a}}",       "{{a}",      "{a}{b}",
    "a}:t3:{a}", "{a}:owner:i", "",       " ",        "owners",     "none",      "i",
    "{b}{a}",    "a{b}",        "ab",
};

static void two_queues_never_share_a_key(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        for (size_t j = 0; j < i; j++) {
            struct keys a, b;
            const char *of_a[KEYS], *of_b[KEYS];
            assert_int_equal(keys_init(&a, names[i], "i"), 0);
            assert_int_equal(keys_init(&b, names[j], "i"), 0);
            list_keys(&a, of_a);
            list_keys(&b, of_b);
            for (size_t x = 0; x < KEYS; x++)
                for (size_t y = 0; y < KEYS; y++)
                    assert_string_not_equal(of_a[x], of_b[y]);
            keys_deinit(&a);
            keys_deinit(&b);
        }
}

static void the_queue_of_a_key_is_found(void **state)
{
    (void)state;
    static const char *const kinds[] = {"owners", "dead", "inflight:i:0a.1:7", "result:0a.1-7-0"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        for (size_t j = 0; j < sizeof kinds / sizeof *kinds; j++) {
            struct keys k;
            size_t len = 99;
            assert_int_equal(keys_init(&k, names[i], "i"), 0);
            char *key = keys_join(&k, kinds[j], "");
            const char *name = keys_queue(key, &len);
            assert_non_null(name);
            assert_int_equal(len, strlen(names[i]));
            assert_memory_equal(name, names[i], len);
            free(key);
            keys_deinit(&k);
        }
}

static void what_is_no_key_of_ours_has_no_queue(void **state)
{
    (void)state;
    static const char *const keys[] = {
        "rpopd:",
        "rpopd:{",
        "rpopd:{a}",
        "rpopd:{a}:",
        "rpopd:{a}:no",
        "rpopd:{a}owners",
        "rpopd:a:owners",
        "rpopd:t:{a}:owners",
        "rpopd:t3:{a}",
        "rpopd:t3:{a}:no",
        "rpopd:t4:{a}:dead",
        "rpopd:t2:{a}:dead",
        "rpopd:t03:{a}:dead",
        "rpopd:t99999999999999999999:{a}:dead",
        "{a}:owners",
        "rpopd:{a}:owners2",
    };
    size_t len;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        assert_null(keys_queue(keys[i], &len));
}

/* A `}` without a tag is the one kind of name that a Cluster cannot have: it is asked for by none.
 */
static void redis_puts_all_keys_of_a_queue_into_one_slot(void **state)
{
    (void)state;
    static const char *const args[] = {"--cluster-enabled", "yes", NULL};
    static const char *const queues[] = {"a",    "jobs:mail", "{a}",    "a{b}c", "{a}{b}",
                                         "{{a}", "a}{b}",     "{ }:t3", "{a",    "a{"};
    struct redis_server *s = redis_server_start(false, args);
    assert_non_null(s);
    for (size_t i = 0; i < sizeof queues / sizeof *queues; i++) {
        struct keys k;
        const char *at[KEYS];
        assert_int_equal(keys_init(&k, queues[i], "host"), 0);
        list_keys(&k, at);
        long long slot = redis_server_integer(s, "CLUSTER KEYSLOT %s", k.queue);
        assert_in_range(slot, 0, 16383);
        for (size_t x = 1; x < KEYS; x++)
            if (redis_server_integer(s, "CLUSTER KEYSLOT %s", at[x]) != slot)
                fail_msg("%s is not in the slot of queue %s", at[x], queues[i]);
        keys_deinit(&k);
    }
    (void)redis_server_stop(s);
}

static void without_memory_there_is_nothing_to_deinit(void **state)
{
    (void)state;
    unsigned n = 0;
    struct keys k;
    for (;;) {
        oom_arm(++n);
        int r = keys_init(&k, "jobs", "i");
        if (!oom_disarm()) {
            assert_int_equal(r, 0);
            break;
        }
        assert_int_equal(r, -ENOMEM);
    }
    assert_true(n > KEYS);
    oom_arm(1);
    assert_null(keys_join(&k, "a", "b"));
    assert_true(oom_disarm());
    keys_deinit(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_key_has_the_name_that_is_documented),
        cmocka_unit_test(a_hash_tag_of_the_queue_stays_the_tag_of_its_keys),
        cmocka_unit_test(two_queues_never_share_a_key),
        cmocka_unit_test(the_queue_of_a_key_is_found),
        cmocka_unit_test(what_is_no_key_of_ours_has_no_queue),
        cmocka_unit_test(redis_puts_all_keys_of_a_queue_into_one_slot),
        cmocka_unit_test(without_memory_there_is_nothing_to_deinit),
    };
    return cmocka_run_group_tests_name("keys", tests, NULL, NULL);
}
