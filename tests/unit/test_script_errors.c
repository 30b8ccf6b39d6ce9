/* All Redis scripts under what goes wrong: keys of another type, rights that are missing, a full
 * Redis. Each script runs along its longest way. An error is one line that begins with its code, no
 * payload is lost by it, and once the cause is gone a repeat comes to the end that it would have
 * come to. */
#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "daemon/script.h"
#include "tests/unit/script_assert.h"
#include "tests/unit/script_scenarios.h"

#define COMMANDS_MAX 40

static void prepare(struct scripts *s, const struct scenario *c)
{
    void *state = s;
    assert_int_equal(scripts_clear(&state), 0);
    for (int i = 0; i < 6 && c->setup[i]; i++)
        DO(s, "%s", c->setup[i]);
}

static const char *run(struct scripts *s, const struct scenario *c)
{
    return script_run(s, c->name, c->keys, c->args);
}

/* All payloads in lists, and those that wait for their time. */
static int payloads(struct scripts *s)
{
    return atoi(redis_run(s, "EVAL|local n = 0 for _, k in ipairs(redis.call('KEYS', '*')) do "
                             "local t = redis.call('TYPE', k).ok "
                             "if t == 'list' then n = n + redis.call('LLEN', k) "
                             "elseif t == 'zset' and (k == 'retry' or k == 'delayed') then "
                             "n = n + redis.call('ZCARD', k) end end return n|0"));
}

/* What is in Redis when nothing goes wrong; the counters are not part of it, a repeat may count
 * less. */
static void right_end(struct scripts *s, const struct scenario *c, char want[4096])
{
    prepare(s, c);
    assert_string_equal(run(s, c), c->answer);
    DO(s, "DEL stats");
    (void)snprintf(want, 4096, "%s", redis_dump(s));
}

/* A line that begins with a code: what the daemon's sentences and decisions are made of. */
static void assert_code_and_text(const struct scenario *c, const char *what, const char *answer)
{
    size_t code = strspn(answer + 1, "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
    if (*answer != '-' || code < 2 || answer[1 + code] != ' ' || strpbrk(answer, "\r\n"))
        fail_msg("%s with %s: '%s' is not CODE text", c->name, what, answer);
}

/* Tells one fault and goes on to the next; a test ends by assert_no_complaint. */
static int complaints;

#define complain(...) (complaints++, print_error(__VA_ARGS__), print_error("\n"))

static void assert_no_complaint(void)
{
    int n = complaints;
    complaints = 0;
    assert_int_equal(n, 0);
}

static bool is_error(const char *answer)
{
    return *answer == '-' && !isdigit((unsigned char)answer[1]);
}

static void assert_kept(struct scripts *s, const struct scenario *c, const char *what, int before)
{
    int now = payloads(s);
    if (now < before && !strstr(c->drops, what))
        complain("%s with %s loses payloads: %d were there, %d are; %s", c->name, what, before, now,
                 redis_dump(s));
}

static void assert_repeat(struct scripts *s, const struct scenario *c, const char *what,
                          const char *want)
{
    const char *answer = run(s, c);
    if (is_error(answer))
        complain("%s after %s: %s", c->name, what, answer);
    DO(s, "DEL stats");
    const char *left = redis_dump(s);
    if (strcmp(left, want) != 0)
        complain("%s after %s leaves %s and not %s", c->name, what, left, want);
}

/* The n-th word of the keys; false behind the last. */
static bool nth_key(const char *keys, int n, char key[32])
{
    while (n-- > 0 && keys)
        keys = strchr(keys, ' ') ? strchr(keys, ' ') + 1 : NULL;
    if (!keys)
        return false;
    (void)snprintf(key, 32, "%.*s", (int)strcspn(keys, " "), keys);
    return true;
}

static void every_script_is_here(void **state)
{
    (void)state;
    size_t n;
    const struct redis_script *all = script_all(&n);
    assert_in_range(n, 15, 100);
    for (size_t i = 0; i < n; i++) {
        bool here = strcmp(all[i].name, "probe") == 0;
        for (size_t j = 0; j < SCENARIOS; j++)
            here = here || strcmp(scenarios[j].name, all[i].name) == 0;
        if (!here)
            fail_msg("no scenario of %s", all[i].name);
    }
}

static void redis_knows_each_script_by_its_sum(void **state)
{
    struct scripts *s = *state;
    size_t n;
    const struct redis_script *all = script_all(&n);
    for (size_t i = 0; i < n; i++) {
        assert_ptr_equal(script_find(all[i].name), &all[i]);
        assert_int_equal(strlen(all[i].text), all[i].len);
        assert_null(strchr(all[i].text, '|'));
        assert_string_equal(redis_run(s, "SCRIPT|LOAD|%s", all[i].text), all[i].sha);
        assert_true(i == 0 || strcmp(all[i - 1].name, all[i].name) < 0);
        assert_int_not_equal(all[i].text[0], '#');
    }
}

static void a_key_of_another_type_moves_nothing_and_a_repeat_mends_it(void **state)
{
    struct scripts *s = *state;
    char want[4096], key[32];
    int errors = 0;
    for (size_t i = 0; i < SCENARIOS; i++) {
        const struct scenario *c = &scenarios[i];
        right_end(s, c, want);
        for (int k = 0; nth_key(c->keys, k, key); k++) {
            prepare(s, c);
            bool was = redis_run(s, "RENAME %s saved", key)[0] == 'O';
            DO(s, "SADD %s x", key);
            int before = payloads(s);
            const char *answer = run(s, c);
            if (!is_error(answer))
                continue; /* that key's type is all the same to it */
            errors++;
            assert_code_and_text(c, key, answer);
            assert_memory_equal(answer, "-WRONGTYPE ", 11);
            if (!strstr(answer, key))
                complain("%s: %s is of another type, and not named: %s", c->name, key, answer);
            assert_kept(s, c, key, before);
            DO(s, "DEL %s", key);
            if (was)
                DO(s, "RENAME saved %s", key);
            assert_repeat(s, c, key, want);
        }
    }
    assert_no_complaint();
    assert_in_range(errors, 50, 200);
}

/* The commands that a script's text names, each once; returns their number. */
static int commands_of(const char *text, char at[COMMANDS_MAX][32])
{
    int n = 0;
    while ((text = strstr(text, "call('"))) {
        int i = 0;
        text += 6;
        (void)snprintf(at[n], 32, "%.*s", (int)strcspn(text, "'"), text);
        while (strcmp(at[i], at[n]) != 0)
            i++;
        n += i == n;
        if (n == COMMANDS_MAX)
            break;
    }
    return n;
}

static void a_right_that_is_missing_moves_nothing_and_a_repeat_mends_it(void **state)
{
    struct scripts *s = *state;
    char want[4096], command[COMMANDS_MAX][32];
    int errors = 0;
    for (size_t i = 0; i < SCENARIOS; i++) {
        const struct scenario *c = &scenarios[i];
        right_end(s, c, want);
        int n = commands_of(script_find(c->name)->text, command);
        for (int k = 0; k < n; k++) {
            prepare(s, c);
            int before = payloads(s);
            script_refuse(s, command[k]);
            const char *answer = run(s, c);
            if (!is_error(answer)) { /* not on its way */
                assert_string_equal(answer, c->answer);
                continue;
            }
            errors++;
            assert_code_and_text(c, command[k], answer);
            assert_memory_equal(answer, "-NOPERM ", 8);
            assert_non_null(strstr(answer, command[k]));
            assert_kept(s, c, command[k], before);
            script_refuse(s, NULL);
            assert_repeat(s, c, command[k], want);
        }
    }
    assert_no_complaint();
    assert_in_range(errors, 100, 500);
}

static void a_key_that_may_not_be_reached_is_refused_before_anything(void **state)
{
    struct scripts *s = *state;
    char key[32], before[4096];
    for (size_t i = 0; i < SCENARIOS; i++)
        for (int k = 0; nth_key(scenarios[i].keys, k, key); k++) {
            prepare(s, &scenarios[i]);
            (void)snprintf(before, sizeof before, "%s", redis_dump(s));
            script_hide(s, key);
            const char *answer = run(s, &scenarios[i]);
            assert_code_and_text(&scenarios[i], key, answer);
            assert_memory_equal(answer, "-NOPERM ", 8);
            LEFT(s, before);
        }
}

static void a_full_redis_hinders_no_script_but_the_one_that_asks(void **state)
{
    struct scripts *s = *state;
    char want[4096];
    for (size_t i = 0; i < SCENARIOS; i++) {
        const struct scenario *c = &scenarios[i];
        right_end(s, c, want);
        prepare(s, c);
        DO(s, "CONFIG SET maxmemory 1");
        assert_non_null(strstr(redis_run(s, "SET x y"), "OOM "));
        if (strcmp(c->name, "room") == 0) /* what it is there to tell */
            assert_memory_equal(run(s, c), "-OOM ", 5);
        else
            assert_string_equal(run(s, c), c->answer);
        DO(s, "CONFIG SET maxmemory 0");
        DO(s, "DEL stats");
        LEFT(s, want);
    }
}

static void errors_of_other_kinds_have_a_code_too(void **state)
{
    struct scripts *s = *state;
    DO(s, "HSET stats lost abc");
    RUN(s, "count", "stats", "lost|3", "-ERR hash value is not an integer (HINCRBY stats)");
    RUN(s, "count", "stats", "done|x",
        "-ERR value is not an integer or out of range (HINCRBY stats)");
    DO(s, "LPUSH b a");
    const char *answer = script_run(s, "part", "b acked batches stats", "f|x");
    assert_code_and_text(&scenarios[0], "a bit that is no number", answer);
    answer = script_run(s, "give_back", "b acked batches q stats", "f|x"); /* an error of Lua */
    assert_memory_equal(answer, "-ERR ", 5);
    assert_null(strpbrk(answer, "\r\n"));
    LEFT(s, "b=[a] stats={lost:abc}");
}

#define PROBE "q owner owners fenced paused popped batches stats retry dead delayed"

static void probe_misses_no_command_of_any_script(void **state)
{
    struct scripts *s = *state;
    char command[COMMANDS_MAX][32];
    size_t n;
    const struct redis_script *all = script_all(&n);
    RUN(s, "probe", PROBE, "", "");
    for (size_t i = 0; i < n; i++) {
        int m = commands_of(all[i].text, command);
        for (int k = 0; k < m; k++) {
            script_refuse(s, command[k]);
            const char *answer = script_run(s, "probe", PROBE, "");
            if (!strstr(answer, command[k]))
                fail_msg("probe does not miss %s, which %s uses: '%s'", command[k], all[i].name,
                         answer);
            script_refuse(s, NULL);
        }
    }
    script_refuse(s, "LMOVE");
    script_refuse(s, "SETBIT");
    RUN(s, "probe", PROBE, "", "LMOVE, SETBIT");
    LEFT(s, "");
}

static void probe_touches_nothing(void **state)
{
    struct scripts *s = *state;
    static const char full[] = "batches={f:1} dead=(r) fenced={e:1} owner=\"1\" owners=(i) "
                               "paused=\"x\" popped=[p] q=[a] stats={done:1}";
    DO(s, "LPUSH q a");
    DO(s, "LPUSH popped p");
    DO(s, "SET owner 1");
    DO(s, "SET paused x");
    DO(s, "ZADD owners 1 i");
    DO(s, "ZADD dead 1 r");
    DO(s, "HSET fenced e 1");
    DO(s, "HSET batches f 1");
    DO(s, "HSET stats done 1");
    LEFT(s, full);
    RUN(s, "probe", PROBE, "", "");
    LEFT(s, full);
    DO(s, "CONFIG SET maxmemory 1");
    RUN(s, "probe", PROBE, "", "");
    LEFT(s, full);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_script_is_here),
        TEST(redis_knows_each_script_by_its_sum),
        TEST(a_key_of_another_type_moves_nothing_and_a_repeat_mends_it),
        TEST(a_right_that_is_missing_moves_nothing_and_a_repeat_mends_it),
        TEST(a_key_that_may_not_be_reached_is_refused_before_anything),
        TEST(a_full_redis_hinders_no_script_but_the_one_that_asks),
        TEST(errors_of_other_kinds_have_a_code_too),
        TEST(probe_misses_no_command_of_any_script),
        TEST(probe_touches_nothing),
    };
    return cmocka_run_group_tests_name("script_errors", tests, scripts_begin, scripts_end);
}
