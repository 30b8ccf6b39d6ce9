/* What is the same whatever a job is: where its result goes, what cancelling by its id frees, and
 * that a payload is nothing but bytes (to plugins; to programs, processes and servers it is in
 * test_isolation.c and test_isolation_http.c). */
#include <hiredis/hiredis.h>

#include "tests/e2e/kinds.h"
#include "tests/e2e/plugin.h"
#include "tests/e2e/web.h"
#include "tests/e2e/witness.h"
#include "tests/lib/pool_child.h"

#define MIB ((size_t)1 << 20)
#define LARGE ((SLOWNESS > 1 ? 4 : 64) * MIB)

#define KINDS NUL /* all but that */

static const struct words {
    const char *name;
    const char *good, *bad; /* payloads; the good one is the result */
    const char *deaf;       /* does not end by itself, nor by being asked; %s: the folder */
    const char *next;
} kinds[KINDS] = {
    [SLEEP] = {"sleep", NULL, NULL, "1000", "0.01"},
    [EXEC] = {"exec", "good", "bad", "deaf", "good"},
    [HTTP] = {"http", "echo", "cut", "hang", "echo"},
    [POOL] = {"pool", "ok job", "dead job", "hang-hard", "ok"},
    [PLUGIN] = {"plugin", "good", "dead", "stubborn %s/never", "next"},
    [BLOCKING] = {"blocking", "good", "dead", "deaf %s/never", "next"},
};

static const char script[] = "read x; case $x in bad) exit 65;; deaf) trap '' TERM; echo deaf; "
                             "while :; do sleep 1000; done;; esac; printf %s $x";

/* A queue for each kind from `first` on, called as it, and `queue`. */
static void start_all(struct scene *s, int first, void (*print_more)(FILE *f, const char *name))
{
    char *conf = NULL;
    size_t len;
    FILE *f = open_memstream(&conf, &len);
    assert_non_null(f);
    (void)fputs("queues = ({ name = \"queue\"; handler: { type = \"null\"; }; }", f);
    for (int i = first; i < KINDS; i++) {
        (void)fprintf(f, ", { name = \"%s\"; attempts = 1; handler: { ", kinds[i].name);
        kind_print(f, (enum kind)i, script, 1);
        (void)fputs(" }; ", f);
        print_more(f, kinds[i].name);
        (void)fputs(" }", f);
    }
    (void)fputs(");", f);
    assert_int_equal(fclose(f), 0);
    scene_start(s, conf);
    free(conf);
}

/* Results ---------------------------------------------------------------------------------------
 */

static void print_results(FILE *f, const char *name)
{
    (void)fprintf(f,
                  "result: { list = \"out:%s\"; key_ttl = 600.0; }; on_success = \"next:%s\"; "
                  "on_failure = \"broken:%s\";",
                  name, name, name);
}

/* The whole of a list, its elements behind one another. */
static const char *elements(struct scene *s, const char *front, const char *name)
{
    char list[64];
    (void)snprintf(list, sizeof list, "%s:%s", front, name);
    return ask_text(s, "EVAL %s 1 %s",
                    "return table.concat(redis.call('LRANGE', KEYS[1], 0, -1), ',')", list);
}

static void check_results(struct scene *s, const struct words *k)
{
    static const char kept[] =
        "local keys = redis.call('KEYS', 'rpopd:{' .. ARGV[1] .. '}:result:*') "
        "local ttl = redis.call('PTTL', keys[1]) "
        "return #keys == 1 and ttl > 300000 and ttl <= 600000 and "
        "string.match(keys[1], '[^:]*$') .. '\\n' .. redis.call('GET', keys[1]) or 'none'";
    static const char died[] =
        "return redis.call('ZRANGE', 'rpopd:{' .. ARGV[1] .. '}:dead', 0, 0)[1]";
    char result[160];
    (void)snprintf(result, sizeof result, "%s", elements(s, "out", k->name));
    const char *line = strchr(result, '\n');
    assert_non_null(line);
    assert_string_equal(line + 1, k->good);
    assert_string_equal(ask_text(s, "EVAL %s 0 %s", kept, k->name), result);
    assert_string_equal(elements(s, "next", k->name), k->good);
    assert_string_equal(elements(s, "broken", k->name), k->bad);
    assert_non_null(strstr(ask_text(s, "EVAL %s 0 %s", died, k->name), "\"run_ms\":"));
}

static void what_each_returns_goes_where_it_shall(void **state)
{
    struct scene *s = *state;
    start_all(s, EXEC, print_results);
    for (int i = EXEC; i < KINDS; i++) {
        push(s, kinds[i].name, kinds[i].good);
        push(s, kinds[i].name, kinds[i].bad);
    }
    for (int i = EXEC; i < KINDS; i++) {
        scene_await(s, LIMIT_MS,
                    stat_of(s, kinds[i].name, "done") == 1 &&
                        stat_of(s, kinds[i].name, "dead") == 1);
        check_results(s, &kinds[i]);
    }
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
}

/* Cancelling ------------------------------------------------------------------------------------
 */

static void print_one_slot(FILE *f, const char *name)
{
    (void)name;
    (void)fputs("concurrency = 1; timeout = 0.0;", f);
}

static bool all_run(struct scene *s, char id[KINDS][128])
{
    int n = 0;
    json_t *jobs = CTL_JSON(s, 0, "jobs");
    for (int i = 0; i < KINDS; i++) {
        const json_t *j = ctl_find(jobs, "queue", kinds[i].name);
        (void)snprintf(id[i], 128, "%s", ctl_text(j, "id"));
        n += strcmp(ctl_text(j, "state"), "running") == 0;
    }
    json_decref(jobs);
    return n == KINDS;
}

/* What does not hear it has no longer than its grace: then the next job has the slot. */
static void cancelled_by_its_id_each_frees_its_slot(void **state)
{
    struct scene *s = *state;
    char id[KINDS][128], payload[160];
    start_all(s, SLEEP, print_one_slot);
    for (int i = 0; i < KINDS; i++) {
        (void)snprintf(payload, sizeof payload, kinds[i].deaf, s->folder);
        push(s, kinds[i].name, payload);
    }
    scene_await(s, LIMIT_MS, all_run(s, id));
    scene_await(s, LIMIT_MS, daemon_logged(s->daemon, "line='deaf'") == 1);
    scene_await(s, LIMIT_MS, web_saw(web, "POST /hang ") == 1);
    scene_await(s, LIMIT_MS, daemon_printed(s->daemon, "stubborn begins") == 1);
    scene_await(s, LIMIT_MS, daemon_printed(s->daemon, "deaf begins") == 1);
    int64_t start = clock_now_ms();
    for (int i = 0; i < KINDS; i++) {
        push(s, kinds[i].name, kinds[i].next);
        assert_int_equal(CTL(s, "cancel", id[i])->code, 0);
    }
    for (int i = 0; i < KINDS; i++) {
        scene_await(s, LIMIT_MS,
                    stat_of(s, kinds[i].name, "cancelled") == 1 &&
                        stat_of(s, kinds[i].name, "done") == 1);
        assert_in_range(clock_now_ms() - start, 0, WITHIN((i >= PLUGIN ? 3000 : 200) + 1000));
    }
    scene_stop(s, SIGQUIT, 0, LIMIT_MS);
}

/* Payloads --------------------------------------------------------------------------------------
 */

/* How many elements are this payload behind their id. */
static unsigned count_of(const redisReply *all, struct bytes b)
{
    unsigned found = 0;
    for (size_t i = 0; i < all->elements; i++) {
        const redisReply *e = all->element[i];
        const char *line = memchr(e->str, '\n', e->len);
        size_t head = line ? (size_t)(line + 1 - e->str) : 0;
        found += head && e->len - head == b.len && memcmp(line + 1, b.at, b.len) == 0;
    }
    return found;
}

static void every_payload_arrives(struct scene *s, const char *handler, size_t large_n)
{
    const struct bytes *hostile;
    size_t n = witness_payloads(&hostile);
    char *large = witness_large(large_n);
    plugin_start(s, "act", handler, "concurrency = 4; ", "result: { list = \"out\"; };");
    for (size_t i = 0; i < n; i++)
        assert_true(ask_int(s, "LPUSH queue %b", hostile[i].at, hostile[i].len) > 0);
    assert_true(ask_int(s, "LPUSH queue %b", large, large_n) > 0);
    scene_await(s, 2 * LIMIT_MS, stat_of(s, "queue", "done") == (long long)n + 1);
    redisReply *all = redis_server_run(s->redis, "LRANGE out 0 -1");
    assert_non_null(all);
    assert_int_equal(all->elements, n + 1);
    for (size_t i = 0; i < n; i++)
        if (count_of(all, hostile[i]) != 1)
            fail_msg("payload %zu of %zu bytes came back %u times", i, hostile[i].len,
                     count_of(all, hostile[i]));
    assert_int_equal(count_of(all, (struct bytes){large, large_n}), 1);
    freeReplyObject(all);
    free(large);
    assert_int_equal(ask_int(s, "DEL out"), 1);
    witness_check_log(s, "keyvalue");
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_string_equal(left_over(s), "");
}

static void every_payload_arrives_at_a_plugin(void **state)
{
    every_payload_arrives(*state, "", LARGE);
}

static void every_payload_arrives_at_one_that_blocks(void **state)
{
    every_payload_arrives(*state, "blocking = true;", LARGE);
}

int main(int argc, char *argv[])
{
    pool_child_main(argc, argv);
    const struct CMUnitTest tests[] = {
        WEB(what_each_returns_goes_where_it_shall),
        WEB(cancelled_by_its_id_each_frees_its_slot),
        SCENE(every_payload_arrives_at_a_plugin),
        SCENE(every_payload_arrives_at_one_that_blocks),
    };
    return scene_run(tests);
}
