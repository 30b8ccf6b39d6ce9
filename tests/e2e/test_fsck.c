/* rpopctl fsck: each kind of orphan, made by hand, is found and put right, and no job is lost. */
#include "tests/e2e/fsck.h"

static void a_daemon_at_work_is_clean(void **state)
{
    struct scene *s = *state;
    scene_start(s, "concurrency = 50; " ONE("sleep", ""));
    fsck_clean(s);
    push_numbers(s, "queue", "0.0", 0, MANY / 10);
    for (int i = 0; i < 10; i++)
        json_decref(CTL_JSON(s, 0, "fsck"));
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == MANY / 10);
    fsck_clean(s);
}

static void entries_and_bits_without_a_batch_are_removed(void **state)
{
    struct scene *s = *state;
    scene_start(s, CALM ONE("sleep", ""));
    (void)ask_int(s, "HSET rpopd:{queue}:batches %s %s", FIELD, ENTRY);
    fsck_repairs(s, "no-list", 1);
    (void)ask_int(s, "SETBIT rpopd:{queue}:acked:%s 3 1", FIELD);
    fsck_repairs(s, "bits", 1);
    assert_int_equal(ask_int(s, "EXISTS rpopd:{queue}:batches"), 0);
}

static void owners_and_their_keys_are_brought_together(void **state)
{
    struct scene *s = *state;
    scene_start(s, CALM ONE("sleep", ""));
    (void)ask_int(s, "ZADD rpopd:{queue}:owners 5 gone");
    fsck_repairs(s, "no-owner", 1);
    (void)ask_text(s, "SET rpopd:{queue}:owner:gone %s", "1 00000000000000aa.1 1 host 5");
    fsck_repairs(s, "no-beat", 1);
}

static void passage_is_put_back(void **state)
{
    struct scene *s = *state;
    (void)ask_text(s, "SET rpopd:{queue}:paused x");
    scene_start(s, CALM ONE("sleep", ""));
    (void)ask_int(s, "LPUSH rpopd:{queue}:popped a b");
    fsck_found(s, false, "popped", false);
    fsck_found(s, true, "popped", true);
    scene_await(s, LIMIT_MS, ask_int(s, "LLEN queue") == 2);
    fsck_clean(s);
}

static void what_only_a_human_can_judge_is_left(void **state)
{
    static const struct {
        const char *kind, *make, *undo;
    } cases[] = {
        {"unreadable", "ZADD rpopd:{queue}:retry 9999999999999 rubbish", "DEL rpopd:{queue}:retry"},
        {"unreadable", "ZADD rpopd:{queue}:dead 9999999999999 rubbish", "DEL rpopd:{queue}:dead"},
        {"wrong-type", "SADD rpopd:{queue}:dead x", "DEL rpopd:{queue}:dead"},
        {"wrong-type", "SADD rpopd:{queue}:inflight:" FIELD " x",
         "DEL rpopd:{queue}:inflight:" FIELD},
        {"unknown", "SADD rpopd:{queue}:other x", "DEL rpopd:{queue}:other"},
        {"unknown", "LPUSH rpopd:{queue}:inflight:x x", "DEL rpopd:{queue}:inflight:x"},
        {"bad-field", "HSET rpopd:{queue}:batches a:b x", "HDEL rpopd:{queue}:batches a:b"},
        {"newer", "SET rpopd:{queue}:owner:new 2-any", "DEL rpopd:{queue}:owner:new"},
    };
    struct scene *s = *state;
    (void)ask_text(s, "SET rpopd:{queue}:paused x");
    scene_start(s, CALM ONE("sleep", ""));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        (void)ask_text(s, cases[i].make);
        fsck_leaves(s, "queue", cases[i].kind, 1);
        (void)ask_text(s, cases[i].undo);
        fsck_clean(s);
    }
    (void)ask_int(s, "ZADD rpopd:{queue}:dead 1 %s", "00000000000000aa.1-7-0 2 of tomorrow");
    fsck_found(s, true, "newer", false);
}

static void orphans_run(struct scene *s)
{
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == 4);
    assert_int_equal(daemon_printed(s->daemon, "Done 0.000"), 1);
    assert_int_equal(daemon_printed(s->daemon, "Done 0.001"), 0); /* it was settled before */
    assert_int_equal(daemon_printed(s->daemon, "Done 0.004"), 1);
    scene_await(s, LIMIT_MS, ask_int(s, "EXISTS rpopd:{queue}:batches") == 0);
    fsck_clean(s);
}

static void a_batch_without_an_entry_is_taken_over_once_repaired(void **state)
{
    struct scene *s = *state;
    scene_start(s, "lease = 3.0; " ONE("sleep", ""));
    fsck_leave_batch(s, "queue", NULL);
    fsck_found(s, false, "no-entry", false);
    fsck_found(s, true, "no-entry", true);
    orphans_run(s);
}

static void an_entry_that_cannot_be_read_is_no_hindrance_once_repaired(void **state)
{
    struct scene *s = *state;
    scene_start(s, "lease = 3.0; " ONE("sleep", ""));
    fsck_leave_batch(s, "queue", "rubbish");
    fsck_found(s, true, "bad-entry", true);
    orphans_run(s);
}

static void a_stray_is_told_and_taken_over_by_itself(void **state)
{
    struct scene *s = *state;
    scene_start(s, CALM ONE("sleep", ""));
    fsck_leave_batch(s, "queue", ENTRY);
    fsck_found(s, false, "stray", false);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    scene_start(s, "lease = 3.0; " ONE("sleep", ""));
    orphans_run(s);
}

static void many_orphans_are_found_in_many_queues(void **state)
{
    struct scene *s = *state;
    scene_start(s, CALM
                "queues = (" QUEUE("queue", "null", "") ", " QUEUE("a}:b", "null", "") ", " QUEUE(
                    "{t}", "null", "") ", " QUEUE("a", "null", "") ");");
    scene_await(s, LIMIT_MS, ask_int(s, "EXISTS rpopd:{a}:owner:e2e") == 1);
    scene_await(s, LIMIT_MS, ask_int(s, "EXISTS rpopd:t3:{t}:owner:e2e") == 1);
    scene_await(s, LIMIT_MS, ask_int(s, "EXISTS rpopd:{a}:b}:owner:e2e") == 1);
    (void)ask_text(s, "EVAL %s 0",
                   "for _, p in ipairs({'rpopd:{queue}:', 'rpopd:{a}:b}:', 'rpopd:t3:{t}:', "
                   "'rpopd:{a}:'}) do for i = 1, 1500 do redis.call('HSET', p .. 'batches', "
                   "'gone:aa.1:' .. i, '1 aa.1-' .. i .. ' 0 0 -') end end");
    (void)ask_int(s, "LPUSH rpopd:{other}:inflight:x x");
    json_t *json = CTL_JSON(s, 1, "fsck", "--repair");
    assert_int_equal(ctl_number(json, "found"), 6001);
    assert_int_equal(ctl_number(json, "repaired"), 6000);
    assert_string_equal(
        ctl_text(ctl_find(json_object_get(json, "findings"), "queue", "other"), "kind"),
        "no-queue");
    (void)ask_int(s, "DEL rpopd:{other}:inflight:x");
    assert_non_null(ctl_find(json_object_get(json, "findings"), "queue", "{t}"));
    assert_non_null(ctl_find(json_object_get(json, "findings"), "queue", "a}:b"));
    json_decref(json);
    fsck_clean(s);
}

static void without_the_right_to_scan_the_rest_is_looked_at(void **state)
{
    struct scene *s = *state;
    scene_start(s, CALM ONE("sleep", ""));
    (void)ask_int(s, "HSET rpopd:{queue}:batches %s %s", FIELD, ENTRY);
    (void)ask_text(s, "ACL SETUSER default -scan");
    json_t *json = CTL_JSON(s, 1, "fsck");
    const json_t *findings = json_object_get(json, "findings");
    assert_int_equal(json_array_size(findings), 2);
    assert_non_null(ctl_find(findings, "kind", "no-scan"));
    assert_non_null(ctl_find(findings, "kind", "no-list"));
    json_decref(json);
}

static void without_redis_it_says_so(void **state)
{
    struct scene *s = *state;
    scene_start(s, CALM ONE("sleep", ""));
    redis_server_kill(s->redis);
    ctl_refused(s, CTL(s, "fsck"), 1, "fsck did not come to its end: Redis does not answer");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(a_daemon_at_work_is_clean),
        SCENE(entries_and_bits_without_a_batch_are_removed),
        SCENE(owners_and_their_keys_are_brought_together),
        SCENE(passage_is_put_back),
        SCENE(what_only_a_human_can_judge_is_left),
        SCENE(a_batch_without_an_entry_is_taken_over_once_repaired),
        SCENE(an_entry_that_cannot_be_read_is_no_hindrance_once_repaired),
        SCENE(a_stray_is_told_and_taken_over_by_itself),
        SCENE(many_orphans_are_found_in_many_queues),
        SCENE(without_the_right_to_scan_the_rest_is_looked_at),
        SCENE(without_redis_it_says_so),
    };
    return scene_run(tests);
}
