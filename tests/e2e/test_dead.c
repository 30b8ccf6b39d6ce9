/* rpopctl dead: what can never be run is listed, shown, replayed and dropped. */
#include "tests/e2e/ctl.h"

/* A pause keeps the daemon from what is replayed. */
static void start_paused(struct scene *s)
{
    scene_start(s, ONE("sleep", ""));
    (void)ask_text(s, "SET rpopd:{queue}:paused x");
}

static void die(struct scene *s, unsigned n)
{
    scene_start(s, ONE("sleep", ""));
    for (unsigned i = 0; i < n; i++)
        push(s, "queue", "never");
    scene_await(s, LIMIT_MS, ask_int(s, "ZCARD rpopd:{queue}:dead") == n);
}

static void letter(struct scene *s, int score, const char *head, const char *payload, size_t len)
{
    char member[4096];
    size_t n = (size_t)snprintf(member, 2048, "%s\n", head);
    memcpy(member + n, payload, len);
    assert_int_equal(ask_int(s, "ZADD rpopd:{queue}:dead %d %b", score, member, n + len), 1);
}

static void dead_letters_are_listed_the_newest_first(void **state)
{
    struct scene *s = *state;
    die(s, 3);
    json_t *all = CTL_JSON(s, 0, "dead", "list", "queue");
    assert_int_equal(json_array_size(all), 3);
    const json_t *first = json_array_get(all, 0), *last = json_array_get(all, 2);
    assert_true(ctl_number(first, "died_ms") >= ctl_number(last, "died_ms"));
    assert_non_null(strstr(ctl_text(first, "reason"), "never"));
    assert_string_equal(ctl_text(first, "instance"), "e2e");
    assert_int_equal(ctl_number(first, "attempts"), 1);
    assert_int_equal(ctl_number(first, "payload_bytes"), 5);
    const struct ctl_run *r = CTL(s, "dead", "list", "queue");
    assert_int_equal(r->code, 0);
    assert_non_null(strstr(r->out, ctl_text(last, "id")));
    json_decref(all);
    all = CTL_JSON(s, 0, "dead", "list", "queue", "--limit", "2");
    assert_int_equal(json_array_size(all), 2);
    json_decref(all);
}

static void more_than_a_page_is_listed_once_each(void **state)
{
    struct scene *s = *state;
    start_paused(s);
    (void)ask_text(s, "EVAL %s 1 rpopd:{queue}:dead",
                   "for i = 1, 1234 do redis.call('ZADD', KEYS[1], i, 'e.1-1-' .. i .. "
                   "' 1 1 0 0 0 {\"reason\":\"r\"}\\n' .. string.rep('x', 5000)) end");
    json_t *all = CTL_JSON(s, 0, "dead", "list", "queue", "--limit", "5000");
    assert_int_equal(json_array_size(all), 1234);
    for (size_t i = 0; i < 1234; i++)
        assert_int_equal(ctl_number(json_array_get(all, i), "died_ms"), 1234 - i);
    json_decref(all);
    all = CTL_JSON(s, 0, "dead", "list", "queue");
    assert_int_equal(json_array_size(all), 100);
    json_decref(all);
}

static void one_is_shown_with_its_payload(void **state)
{
    struct scene *s = *state;
    start_paused(s);
    letter(s, 7000, "e.1-1-0 1 3 2 5 6 {\"reason\":\"why\",\"exit\":3,\"output\":\"o\"}",
           "a\0\xc3\xa9", 4);
    letter(s, 8000, "e.1-1-1 1 1 0 5 6 {}", "\xff\0", 2);
    json_t *o = CTL_JSON(s, 0, "dead", "show", "queue", "--id", "e.1-1-0");
    assert_string_equal(ctl_text(o, "id"), "e.1-1-0");
    assert_string_equal(ctl_text(o, "reason"), "why");
    assert_string_equal(ctl_text(o, "output"), "o");
    assert_int_equal(ctl_number(o, "exit"), 3);
    assert_int_equal(ctl_number(o, "attempts"), 3);
    assert_int_equal(ctl_number(o, "died_ms"), 7000);
    const json_t *payload = json_object_get(o, "payload");
    assert_int_equal(json_string_length(payload), 4);
    assert_memory_equal(json_string_value(payload), "a\0\xc3\xa9", 4);
    json_decref(o);
    o = CTL_JSON(s, 0, "dead", "show", "queue", "--id", "e.1-1-1");
    assert_string_equal(ctl_text(o, "payload_base64"), "/wA=");
    json_decref(o);
    const struct ctl_run *r = CTL(s, "dead", "show", "queue", "--id", "e.1-1-0");
    assert_int_equal(r->code, 0);
    assert_non_null(strstr(r->out, "payload   4 bytes\na\\x00\xc3\xa9\n"));
    assert_non_null(strstr(r->out, "exit      3\n"));
}

static void a_large_payload_is_shown_whole(void **state)
{
    struct scene *s = *state;
    start_paused(s);
    (void)ask_text(s, "EVAL %s 1 rpopd:{queue}:dead",
                   "redis.call('ZADD', KEYS[1], 1, 'e.1-1-1 1 1 0 0 0 {}\\n' .. "
                   "string.rep('0123456789', 300000))");
    json_t *o = CTL_JSON(s, 0, "dead", "show", "queue", "--id", "e.1-1-1");
    const json_t *payload = json_object_get(o, "payload");
    assert_int_equal(json_string_length(payload), 3000000);
    for (size_t i = 0; i < 3000000; i += 10)
        assert_memory_equal(json_string_value(payload) + i, "0123456789", 10);
    json_decref(o);
}

static void replay_keeps_id_and_payload_byte_for_byte(void **state)
{
    struct scene *s = *state;
    char payload[256];
    for (int i = 0; i < 256; i++)
        payload[i] = (char)i;
    start_paused(s);
    letter(s, 7000, "e.1-1-0 1 10 2 5 6 {\"reason\":\"why\"}", payload, sizeof payload);
    json_t *o = CTL_JSON(s, 0, "dead", "retry", "queue", "--id", "e.1-1-0");
    assert_int_equal(ctl_number(o, "retried"), 1);
    json_decref(o);
    assert_int_equal(ask_int(s, "EXISTS rpopd:{queue}:dead"), 0);
    const char *want = "e.1-1-0 1 0 0 5 6 {\"reason\":\"why\"}\n";
    assert_int_equal(ask_int(s, "EVAL %s 1 rpopd:{queue}:retry %s %b",
                             "local m = redis.call('ZRANGE', KEYS[1], 0, -1) "
                             "return (#m == 1 and m[1] == ARGV[1] .. ARGV[2]) and 1 or 0",
                             want, payload, sizeof payload),
                     1);
    ctl_refused(s, CTL(s, "dead", "retry", "queue", "--id", "e.1-1-0"), 1,
                "no dead letter e.1-1-0");
    assert_int_equal(ask_int(s, "ZCARD rpopd:{queue}:retry"), 1);
}

static void all_are_replayed_or_dropped(void **state)
{
    struct scene *s = *state;
    start_paused(s);
    (void)ask_text(s, "EVAL %s 1 rpopd:{queue}:dead",
                   "for i = 1, 250 do redis.call('ZADD', KEYS[1], i, 'e.1-1-' .. i .. "
                   "' 1 1 0 0 0 {}\\nx') end");
    letter(s, 0, "from the future 2", "x", 1);
    json_t *o = CTL_JSON(s, 0, "dead", "retry", "queue", "--all", "--limit", "20");
    assert_int_equal(ctl_number(o, "retried") + ctl_number(o, "unreadable"), 20);
    json_decref(o);
    const struct ctl_run *r = CTL(s, "dead", "retry", "queue", "--all");
    assert_int_equal(r->code, 0);
    assert_non_null(strstr(r->out, "left alone 1 that cannot be read"));
    assert_int_equal(ask_int(s, "ZCARD rpopd:{queue}:retry"), 250);
    assert_int_equal(ask_int(s, "ZCARD rpopd:{queue}:dead"), 1);
    assert_string_equal(CTL(s, "dead", "drop", "queue", "--all")->out, "dropped 1\n");
    assert_int_equal(ask_int(s, "EXISTS rpopd:{queue}:dead"), 0);
    assert_string_equal(CTL(s, "dead", "drop", "queue", "--all")->out, "dropped 0\n");
}

static void what_is_replayed_runs(void **state)
{
    struct scene *s = *state;
    die(s, 5);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    scene_start(s, ONE("null", ""));
    json_decref(CTL_JSON(s, 0, "dead", "retry", "queue", "--all"));
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == 5);
    assert_int_equal(ask_int(s, "EXISTS rpopd:{queue}:dead rpopd:{queue}:retry"), 0);
}

static void what_is_not_there_is_said(void **state)
{
    struct scene *s = *state;
    start_paused(s);
    letter(s, 1, "e.9-9-9 7 new", "x", 1);
    ctl_refused(s, CTL(s, "dead", "list", "nix"), 1, "queue 'nix' is not in the configuration");
    assert_string_equal(CTL(s, "--json", "dead", "list", "nix")->out, ""); /* not: none is dead */
    ctl_refused(s, CTL(s, "dead", "show", "queue", "--id", "e.1"), 1, "no dead letter e.1 lies in");
    ctl_refused(s, CTL(s, "dead", "show", "queue", "--id", "e.9-9-9"), 1, "cannot be read");
    ctl_refused(s, CTL(s, "dead", "retry", "queue", "--id", "e.9-9-9"), 1, "cannot be read");
    ctl_refused(s, CTL(s, "dead", "drop", "queue", "--id", "a b"), 1, "'a b' is no job's id");
    ctl_refused(s, CTL(s, "dead", "drop", "queue"), 64, "needs --id ID or --all");
    ctl_refused(s, CTL(s, "dead", "show", "queue"), 64, "needs --id ID");
    ctl_refused(s, CTL(s, "dead", "eat", "queue"), 64, "'eat' is nothing that 'dead' does");
    ctl_refused(s, CTL(s, "dead", "list", "queue", "--limit", "0"), 64, "--limit 0 is no number");
    ctl_refused(s, CTL(s, "dead", "retry", "queue", "--all", "--id", "x"), 64, "exclude");
    json_t *all = CTL_JSON(s, 0, "dead", "list", "queue");
    assert_string_equal(ctl_text(json_array_get(all, 0), "unreadable"), "e.9-9-9 7 new\nx");
    json_decref(all);
    (void)ask_int(s, "DEL rpopd:{queue}:dead");
    (void)ask_int(s, "SADD rpopd:{queue}:dead x");
    ctl_refused(s, CTL(s, "dead", "list", "queue"), 1, "WRONGTYPE");
    redis_server_kill(s->redis);
    ctl_refused(s, CTL(s, "dead", "list", "queue"), 1, "Redis does not answer");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(dead_letters_are_listed_the_newest_first),
        SCENE(more_than_a_page_is_listed_once_each),
        SCENE(one_is_shown_with_its_payload),
        SCENE(a_large_payload_is_shown_whole),
        SCENE(replay_keeps_id_and_payload_byte_for_byte),
        SCENE(all_are_replayed_or_dropped),
        SCENE(what_is_replayed_runs),
        SCENE(what_is_not_there_is_said),
    };
    return scene_run(tests);
}
