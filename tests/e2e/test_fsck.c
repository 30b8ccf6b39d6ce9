/* rpopctl fsck: each kind of orphan, made by hand, is found and put right, and no job is lost. */
#include "tests/e2e/ctl.h"

#define CALM "lease = 3600.0; " /* the daemon itself mends nothing within the test */
#define ENTRY "1 00000000000000aa.1-7 0 0 -"
#define FIELD "gone:00000000000000aa.1:7"

/* Runs it, with --repair or without; it must find exactly one thing of this kind. */
static void found(struct scene *s, bool repair, const char *kind, bool repaired)
{
    json_t *json = repair ? CTL_JSON(s, 1, "fsck", "--repair") : CTL_JSON(s, 1, "fsck");
    const json_t *findings = json_object_get(json, "findings");
    const json_t *f = ctl_find(findings, "kind", kind);
    if (json_array_size(findings) != 1 || !f ||
        json_is_true(json_object_get(f, "repaired")) != repaired) {
        json_dumpf(json, stderr, JSON_INDENT(1));
        scene_fail(s, kind, __FILE__, __LINE__);
    }
    assert_string_equal(ctl_text(f, "queue"), "queue");
    assert_true(*ctl_text(f, "what") && *ctl_text(f, "repair") && *ctl_text(f, "key"));
    assert_int_equal(ctl_number(json, "found"), 1);
    assert_int_equal(ctl_number(json, "repaired"), repaired);
    json_decref(json);
}

static void clean(struct scene *s)
{
    json_t *json = CTL_JSON(s, 0, "fsck");
    assert_int_equal(json_array_size(json_object_get(json, "findings")), 0);
    json_decref(json);
    const struct ctl_run *r = CTL(s, "fsck", "--repair");
    assert_int_equal(r->code, 0);
    assert_ptr_equal(strstr(r->out, "clean: "), r->out);
}

/* Told twice without a repair, then repaired, then gone. */
static void found_and_repaired(struct scene *s, const char *kind)
{
    found(s, false, kind, false);
    const struct ctl_run *r = CTL(s, "fsck");
    assert_int_equal(r->code, 1);
    assert_non_null(strstr(r->out, kind));
    assert_non_null(strstr(r->out, "1 found, 0 repaired"));
    found(s, true, kind, true);
    clean(s);
}

static void a_daemon_at_work_is_clean(void **state)
{
    struct scene *s = *state;
    scene_start(s, "concurrency = 50; " ONE("sleep", ""));
    clean(s);
    push_numbers(s, "queue", "0.0", 0, MANY / 10);
    for (int i = 0; i < 10; i++)
        json_decref(CTL_JSON(s, 0, "fsck"));
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == MANY / 10);
    clean(s);
}

static void entries_and_bits_without_a_batch_are_removed(void **state)
{
    struct scene *s = *state;
    scene_start(s, CALM ONE("sleep", ""));
    (void)ask_int(s, "HSET rpopd:{queue}:batches %s %s", FIELD, ENTRY);
    found_and_repaired(s, "no-list");
    (void)ask_int(s, "SETBIT rpopd:{queue}:acked:%s 3 1", FIELD);
    found_and_repaired(s, "bits");
    assert_int_equal(ask_int(s, "EXISTS rpopd:{queue}:batches"), 0);
}

static void owners_and_their_keys_are_brought_together(void **state)
{
    struct scene *s = *state;
    scene_start(s, CALM ONE("sleep", ""));
    (void)ask_int(s, "ZADD rpopd:{queue}:owners 5 gone");
    found_and_repaired(s, "no-owner");
    (void)ask_text(s, "SET rpopd:{queue}:owner:gone %s", "1 00000000000000aa.1 1 host 5");
    found_and_repaired(s, "no-beat");
}

static void passage_is_put_back(void **state)
{
    struct scene *s = *state;
    (void)ask_text(s, "SET rpopd:{queue}:paused x");
    scene_start(s, CALM ONE("sleep", ""));
    (void)ask_int(s, "LPUSH rpopd:{queue}:popped a b");
    found(s, false, "popped", false);
    found(s, true, "popped", true);
    scene_await(s, LIMIT_MS, ask_int(s, "LLEN queue") == 2);
    clean(s);
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
        found(s, false, cases[i].kind, false);
        found(s, true, cases[i].kind, false);
        found(s, false, cases[i].kind, false);
        (void)ask_text(s, cases[i].undo);
        clean(s);
    }
    (void)ask_int(s, "ZADD rpopd:{queue}:dead 1 %s", "00000000000000aa.1-7-0 2 of tomorrow");
    found(s, true, "newer", false);
}

/* A batch of an instance that nobody has seen for long. */
static void leave_batch(struct scene *s, const char *entry)
{
    for (int i = 0; i < 5; i++)
        (void)ask_int(s, "LPUSH rpopd:{queue}:inflight:%s 0.00%d", FIELD, i);
    (void)ask_int(s, "SETBIT rpopd:{queue}:acked:%s 1 1", FIELD);
    if (entry)
        (void)ask_int(s, "HSET rpopd:{queue}:batches %s %s", FIELD, entry);
}

static void orphans_run(struct scene *s)
{
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == 4);
    assert_int_equal(daemon_printed(s->daemon, "Done 0.000"), 1);
    assert_int_equal(daemon_printed(s->daemon, "Done 0.001"), 0); /* it was settled before */
    assert_int_equal(daemon_printed(s->daemon, "Done 0.004"), 1);
    scene_await(s, LIMIT_MS, ask_int(s, "EXISTS rpopd:{queue}:batches") == 0);
    clean(s);
}

static void a_batch_without_an_entry_is_taken_over_once_repaired(void **state)
{
    struct scene *s = *state;
    scene_start(s, "lease = 3.0; " ONE("sleep", ""));
    leave_batch(s, NULL);
    found(s, false, "no-entry", false);
    found(s, true, "no-entry", true);
    orphans_run(s);
}

static void an_entry_that_cannot_be_read_is_no_hindrance_once_repaired(void **state)
{
    struct scene *s = *state;
    scene_start(s, "lease = 3.0; " ONE("sleep", ""));
    leave_batch(s, "rubbish");
    found(s, true, "bad-entry", true);
    orphans_run(s);
}

static void a_stray_is_told_and_taken_over_by_itself(void **state)
{
    struct scene *s = *state;
    scene_start(s, CALM ONE("sleep", ""));
    leave_batch(s, ENTRY);
    found(s, false, "stray", false);
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
    (void)ask_int(s, "LPUSH rpopd:{other}:inflight:x x"); /* of another daemon's queue */
    json_t *json = CTL_JSON(s, 1, "fsck", "--repair");
    assert_int_equal(ctl_number(json, "found"), 6000);
    assert_int_equal(ctl_number(json, "repaired"), 6000);
    assert_non_null(ctl_find(json_object_get(json, "findings"), "queue", "{t}"));
    assert_non_null(ctl_find(json_object_get(json, "findings"), "queue", "a}:b"));
    json_decref(json);
    clean(s);
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
