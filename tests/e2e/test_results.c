/* Where a job goes that has ended, and what it returned: lists of results, keys with a time to
 * live, the next queue of a chain, the list of what failed. Byte for byte, and what Redis refuses
 * holds up nobody else. What kills and cuts do to it is in test_results_faults.c. */
#include "tests/e2e/ctl.h"
#include "tests/e2e/results.h"

#define LIST "result: { list = \"done:mail\"; }; "
#define KEY "result: { key_ttl = 600.0; }; "
#define NEXT "on_success = \"next\"; "
#define BROKEN "on_failure = \"broken\"; "

static void rest(struct scene *s)
{
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_string_equal(left_over(s), "");
}

static bool settled(struct scene *s, long long done)
{
    return stat_of(s, "queue", "done") == done;
}

static void push_bytes(struct scene *s, const char *queue, const char *bytes, size_t len)
{
    assert_true(ask_int(s, "LPUSH %s %b", queue, bytes, len) > 0);
}

/* Lists and keys ------------------------------------------------------------------------------- */

static void each_result_is_pushed_once_with_its_id(void **state)
{
    struct scene *s = *state;
    const unsigned jobs = 5000 / SLOWNESS;
    push_numbers(s, "queue", "job", 0, jobs);
    scene_start(s, ONE("null", LIST));
    scene_await(s, LIMIT_MS, settled(s, jobs));
    struct results r = results_of(s, "done:mail", "r:job");
    assert_int_equal(r.total, jobs);
    assert_int_equal(r.ids, jobs);
    assert_int_equal(r.numbers, jobs);
    assert_int_equal(ask_int(s, "DEL done:mail"), 1);
    rest(s);
}

static void the_oldest_result_is_popped_first(void **state)
{
    struct scene *s = *state;
    char want[32];
    scene_start(s, "concurrency = 1; " ONE("null", LIST));
    push_numbers(s, "queue", "job", 0, 50);
    scene_await(s, LIMIT_MS, settled(s, 50));
    for (int i = 0; i < 50; i++) {
        (void)snprintf(want, sizeof want, "\nr:job%06d", i);
        const char *got = ask_text(s, "RPOP done:mail");
        scene_check(s, got && strstr(got, want) && strlen(strstr(got, want)) == strlen(want));
    }
    rest(s);
}

/* The id is the one that the log, the dead letters and rpopctl show. */
static void a_result_of_any_bytes_arrives_as_it_is(void **state)
{
    struct scene *s = *state;
    static const char sum[] =
        "local out = {} for _, e in ipairs(redis.call('LRANGE', 'done:mail', 0, -1)) do "
        "out[#out + 1] = string.match(e, '^[0-9a-f]+%.1%-%d+%-%d+\\n(.*)$') or 'bad: ' .. e end "
        "table.sort(out) for i, e in ipairs(out) do out[i] = string.gsub(e, '.', function(c) "
        "return string.format('%02x', string.byte(c)) end) end return table.concat(out, ' ')";
    scene_start(s, ONE("null", LIST));
    push(s, "queue", "empty");
    push(s, "queue", "bytes");
    push(s, "queue", "none");
    push_bytes(s, "queue", "\0\n", 2);
    scene_await(s, LIMIT_MS, settled(s, 4));
    assert_int_equal(ask_int(s, "LLEN done:mail"), 3); /* who returned nothing is not in it */
    assert_string_equal(ask_text(s, "EVAL %s 0", sum), " 00610a00ff 723a000a");
    assert_int_equal(ask_int(s, "DEL done:mail"), 1);
    rest(s);
}

static void a_result_of_64_mib_arrives_beside_small_ones(void **state)
{
    struct scene *s = *state;
    const char *size = SLOWNESS > 1 ? "big 4194304" : "big 67108864";
    scene_start(s, "concurrency = 50; " ONE("null", LIST));
    push(s, "queue", size);
    push_numbers(s, "queue", "job", 0, 200);
    push(s, "queue", size);
    push_numbers(s, "queue", "job", 200, 200);
    scene_await(s, LIMIT_MS, settled(s, 402));
    assert_int_equal(results_take_large(s, "done:mail", strtoul(size + 4, NULL, 10), 'x'), 2);
    struct results r = results_of(s, "done:mail", "r:job");
    assert_int_equal(r.total, 400);
    assert_int_equal(r.numbers, 400);
    assert_int_equal(ask_int(s, "DEL done:mail"), 1);
    rest(s);
}

static void a_result_is_kept_under_a_key_for_its_time(void **state)
{
    struct scene *s = *state;
    static const char script[] = "local keys = redis.call('KEYS', 'rpopd:{queue}:result:*') "
                                 "local ttl = redis.call('PTTL', keys[1]) "
                                 "return #keys == 1 and ttl > 500000 and ttl <= 600000 and "
                                 "redis.call('GET', keys[1]) or ttl";
    scene_start(s, ONE("null", KEY));
    push(s, "queue", "job");
    push(s, "queue", "none");
    scene_await(s, LIMIT_MS, settled(s, 2));
    assert_string_equal(ask_text(s, "EVAL %s 0", script), "r:job");
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    scene_start(s, ONE("null", "result: { key_ttl = 0.2; }; "));
    push(s, "queue", "job");
    scene_await(s, LIMIT_MS, settled(s, 3));
    scene_await(s, LIMIT_MS,
                ask_int(s, "EVAL %s 0", "return #redis.call('KEYS', '*:result:*')") == 1);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
}

/* Chains --------------------------------------------------------------------------------------- */

static void the_next_list_gets_the_result_or_else_the_payload(void **state)
{
    struct scene *s = *state;
    scene_start(s, ONE("null", NEXT LIST));
    push(s, "queue", "job");
    push(s, "queue", "empty");
    push_bytes(s, "queue", "none\0\n", 6);
    scene_await(s, LIMIT_MS, settled(s, 3));
    assert_int_equal(ask_int(s, "LLEN next"), 3);
    assert_int_equal(results_equal(s, "next", "r:job", 5), 1);
    assert_int_equal(results_equal(s, "next", "", 0), 1);
    assert_int_equal(results_equal(s, "next", "none\0\n", 6), 1);
    assert_int_equal(ask_int(s, "LLEN done:mail"), 2);
    assert_int_equal(ask_int(s, "DEL next done:mail"), 2);
    rest(s);
}

static void a_retried_job_hands_on_its_payload_alone(void **state)
{
    struct scene *s = *state;
    scene_start(s, ONE("sleep", NEXT "timeout = 5.0;"));
    assert_int_equal(ask_int(s, "ZADD rpopd:{queue}:retry 1 %s", "id7 1 3 0 5 6 {}\n0.010"), 1);
    scene_await(s, LIMIT_MS, settled(s, 1));
    assert_string_equal(ask_text(s, "RPOP next"), "0.010");
    rest(s);
}

static void three_queues_of_one_daemon_are_a_chain(void **state)
{
    struct scene *s = *state;
    const unsigned jobs = 3000 / SLOWNESS;
    push_numbers(s, "queue", "job", 0, jobs);
    scene_start(s, "queues = (" QUEUE("queue", "null", "on_success = \"second\";") ", " QUEUE(
                       "second", "null",
                       "on_success = \"third\";") ", " QUEUE("third", "null",
                                                             "result: { list = \"end\"; };") "); ");
    scene_await(s, LIMIT_MS, stat_of(s, "third", "done") == jobs);
    struct results r = results_of(s, "end", "r:r:r:job");
    assert_int_equal(r.total, jobs);
    assert_int_equal(r.ids, jobs);
    assert_int_equal(r.numbers, jobs);
    assert_int_equal(ask_int(s, "DEL end"), 1);
    rest(s);
}

#define EXEC(name, script, more)                                                                   \
    "{ name = \"" name "\"; handler: { type = \"exec\"; command = [\"/bin/sh\", \"-c\", \"" script \
    "\"]; }; " more " }"

/* What a program prints is what it returns. */
static void programs_are_a_chain(void **state)
{
    struct scene *s = *state;
    scene_start(s, "queues = (" EXEC("queue", "tr a-z A-Z", NEXT LIST) ", " EXEC(
                       "next", "cat; printf '\\\\000'",
                       "on_success = \"third\";") ", " EXEC("third", "exit 65", BROKEN) "); ");
    push(s, "queue", "job 1\n");
    push(s, "queue", "");
    scene_await(s, LIMIT_MS, ask_int(s, "LLEN broken") == 2);
    assert_int_equal(results_equal(s, "broken", "JOB 1\n", 7), 1);
    assert_int_equal(results_equal(s, "broken", "", 1), 1);
    assert_non_null(strstr(ask_text(s, "LINDEX done:mail 0"), "\nJOB 1\n"));
    assert_int_equal(ask_int(s, "LLEN done:mail"), 1); /* the other printed nothing */
    assert_int_equal(ask_int(s, "DEL done:mail broken"), 2);
    rest(s);
}

/* What failed ---------------------------------------------------------------------------------- */

static void the_payload_of_what_is_dead_goes_to_its_list(void **state)
{
    struct scene *s = *state;
    static const char puts[] =
        "redis.call('ZADD', 'rpopd:{queue}:retry', 1, 'id1 1 1 0 5 6 {}\\n' .. string.rep('y', "
        "5000), "
        "1, 'no record\\nbut bytes') return redis.call('LPUSH', 'queue', string.rep('z', 3000))";
    static const char letters[] =
        "local n = 0 for _, r in ipairs(redis.call('ZRANGE', 'rpopd:{queue}:dead', 0, -1)) do "
        "local p = string.match(r, '^%S+ 1 [^\\n]*\\n(.*)$') "
        "for _, e in ipairs(redis.call('LRANGE', 'broken', 0, -1)) do "
        "if p == e then n = n + 1 end end end return n";
    scene_start(s, ONE("null", BROKEN NEXT "max_payload = 1000; timeout = 0.2; attempts = 2; "
                                           "backoff: { base = 0.05; };"));
    push_bytes(s, "queue", "dead\0\n", 6);          /* by its handler */
    push(s, "queue", "600.5");                      /* by its tries */
    assert_true(ask_int(s, "EVAL %s 0", puts) > 0); /* too large: fresh, and a record; no record */
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "dead") == 5);
    assert_int_equal(ask_int(s, "LLEN broken"), 5);
    assert_int_equal(ask_int(s, "EVAL %s 0", letters), 5); /* the same that its dead letter has */
    assert_int_equal(results_equal(s, "broken", "dead\0\n", 6), 1);
    assert_int_equal(results_equal(s, "broken", "600.5", 5), 1);
    assert_int_equal(ask_int(s, "LLEN next"), 0);
    assert_int_equal(ask_int(s, "DEL broken"), 1);
    rest(s);
}

static void so_does_that_of_a_cancelled_job_and_of_one_that_is_replayed(void **state)
{
    struct scene *s = *state;
    scene_start(s, ONE("null", BROKEN));
    push(s, "queue", "600.5");
    scene_await(s, LIMIT_MS, running(s) == 1);
    json_t *jobs = CTL_JSON(s, 0, "jobs");
    assert_int_equal(CTL(s, "cancel", ctl_text(json_array_get(jobs, 0), "id"))->code, 0);
    json_decref(jobs);
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "cancelled") == 1);
    assert_int_equal(results_equal(s, "broken", "600.5", 5), 1);
    assert_int_equal(CTL(s, "dead", "drop", "queue", "--all")->code, 0);
    push(s, "queue", "dead");
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "dead") == 1);
    assert_int_equal(CTL(s, "dead", "retry", "queue", "--all")->code, 0);
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "dead") == 2); /* dead once more: told once more */
    assert_int_equal(results_equal(s, "broken", "dead", 4), 2);
    assert_int_equal(ask_int(s, "DEL broken"), 1);
    rest(s);
}

static void so_does_that_of_one_that_brings_the_daemon_down(void **state)
{
    struct scene *s = *state;
    push(s, "queue", "600.5");
    scene_start(s, ONE("null", BROKEN "max_recoveries = 1;"));
    for (unsigned life = 1; life <= 3; life++) {
        scene_await(s, LIMIT_MS, daemon_printed(s->daemon, "Waiting 600.5") == life);
        daemon_kill(s->daemon);
        scene_again(s);
    }
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "dead") == 1);
    assert_int_equal(results_equal(s, "broken", "600.5", 5), 1);
    assert_int_equal(ask_int(s, "DEL broken"), 1);
    rest(s);
}

#define ONCE "delivery = \"at-most-once\"; "

/* At most once: the same without a batch in Redis. */
static void jobs_that_are_popped_deliver_too(void **state)
{
    struct scene *s = *state;
    assert_int_equal(ask_int(s, "SADD done:mail x"), 1);
    scene_start(s, ONE("null", ONCE LIST NEXT BROKEN "max_payload = 20;"));
    push_numbers(s, "queue", "job", 0, 20);
    push(s, "queue", "dead");
    push(s, "queue", "more than the twenty bytes that are allowed");
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "dead") == 2);
    scene_hold(s, 300, ask_int(s, "LLEN next") == 0 && stat_of(s, "queue", "done") <= 0);
    assert_int_equal(ask_int(s, "DEL done:mail"), 1);
    push(s, "queue", "none");
    scene_await(s, LIMIT_MS, settled(s, 21));
    assert_int_equal(results_of(s, "done:mail", "r:job").numbers, 20);
    assert_int_equal(ask_int(s, "LLEN done:mail"), 20);
    assert_int_equal(ask_int(s, "LLEN next"), 21);
    assert_int_equal(results_equal(s, "next", "none", 4), 1);
    assert_int_equal(results_equal(s, "broken", "dead", 4), 1);
    assert_int_equal(ask_int(s, "LLEN broken"), 2);
    assert_int_equal(ask_int(s, "DEL done:mail next broken"), 3);
    rest(s);
}

/* What Redis refuses --------------------------------------------------------------------------- */

#define TWO(more) \
    "concurrency = 10; queues = (" QUEUE("queue", "null", more) ", " QUEUE("other", "null", "") ");"

static void a_list_of_another_type_is_waited_for_and_holds_up_nobody(void **state)
{
    struct scene *s = *state;
    assert_int_equal(ask_int(s, "SADD done:mail x"), 1);
    scene_start(s, TWO(LIST));
    push_numbers(s, "queue", "job", 0, 4);
    push_numbers(s, "queue", "none", 0, 500);
    push_numbers(s, "other", "job", 0, 500);
    scene_await(s, LIMIT_MS, settled(s, 500) && stat_of(s, "other", "done") == 500);
    scene_await(s, LIMIT_MS, claimed(s, "queue") == 4); /* those that wait for the list */
    scene_hold(s, 1500, claimed(s, "queue") == 4);
    assert_int_equal(daemon_logged(s->daemon, "WRONGTYPE"), 1);
    assert_int_equal(daemon_logged(s->daemon, "at=deliver"), 1);
    assert_non_null(strstr(CTL(s, "status")->out, "deliver"));
    assert_non_null(strstr(CTL(s, "fsck")->out, "done:mail"));
    assert_int_equal(ask_int(s, "DEL done:mail"), 1);
    scene_await(s, LIMIT_MS, settled(s, 504));
    assert_int_equal(results_of(s, "done:mail", "r:job").numbers, 4);
    assert_int_equal(ask_int(s, "LLEN done:mail"), 4);
    assert_int_equal(ask_int(s, "DEL done:mail"), 1);
    rest(s);
}

static void so_is_the_list_of_what_failed(void **state)
{
    struct scene *s = *state;
    assert_int_equal(ask_int(s, "SADD broken x"), 1);
    scene_start(s, TWO(BROKEN));
    push_numbers(s, "queue", "dead", 0, 4);
    push_numbers(s, "queue", "none", 0, 500);
    push_numbers(s, "other", "job", 0, 500);
    scene_await(s, LIMIT_MS, settled(s, 500) && stat_of(s, "other", "done") == 500);
    scene_await(s, LIMIT_MS, claimed(s, "queue") == 4);
    scene_hold(s, 500, claimed(s, "queue") == 4);
    assert_int_equal(ask_int(s, "EXISTS rpopd:{queue}:dead"), 0);
    assert_int_equal(daemon_logged(s->daemon, "WRONGTYPE"), 1);
    assert_int_equal(ask_int(s, "DEL broken"), 1);
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "dead") == 4);
    assert_int_equal(ask_int(s, "LLEN broken"), 4);
    assert_int_equal(ask_int(s, "DEL broken"), 1);
    rest(s);
}

/* Slots bound what waits in memory. */
static void no_more_is_taken_than_there_are_slots_for(void **state)
{
    struct scene *s = *state;
    assert_int_equal(ask_int(s, "SADD done:mail x"), 1);
    push_numbers(s, "queue", "job", 0, 100);
    scene_start(s, TWO(LIST));
    scene_await(s, LIMIT_MS, claimed(s, "queue") == 10);
    scene_hold(s, 500, claimed(s, "queue") == 10 && ask_int(s, "LLEN queue") == 90);
    daemon_kill(s->daemon); /* what was done and could not be delivered is done again */
    assert_int_equal(ask_int(s, "DEL done:mail"), 1);
    scene_again(s);
    scene_await(s, LIMIT_MS, settled(s, 100));
    struct results r = results_of(s, "done:mail", "r:job");
    assert_int_equal(r.total, 100);
    assert_int_equal(r.numbers, 100);
    assert_int_equal(ask_int(s, "DEL done:mail"), 1);
    rest(s);
}

/* In a full Redis a job without a result is settled, and one whose result is no larger than its
 * payload; the others wait for room. */
static void a_full_redis_is_drained_and_larger_results_wait(void **state)
{
    struct scene *s = *state;
    char payload[400];
    scene_start(s, ONE("null", LIST NEXT));
    assert_int_equal(ask_int(s, "SET rpopd:{queue}:paused x"), 1);
    scene_await(s, LIMIT_MS, daemon_logged(s->daemon, "event=queue-paused") == 1);
    push_numbers(s, "queue", "none", 0, 50);
    for (int i = 0; i < 20; i++) {
        memset(payload, 'p', sizeof payload);
        memcpy(payload, "small", 5);
        push_bytes(s, "queue", payload, sizeof payload);
    }
    push_numbers(s, "queue", "job", 0, 10);
    assert_int_equal(ask_int(s, "CONFIG SET maxmemory 1"), 1);
    assert_int_equal(ask_int(s, "DEL rpopd:{queue}:paused"), 1);
    scene_await(s, LIMIT_MS, settled(s, 70));
    scene_await(s, LIMIT_MS, claimed(s, "queue") == 10);
    scene_hold(s, 1500, claimed(s, "queue") == 10);
    assert_true(ask_int(s, "EVAL %s 0 %b",
                        "redis.call('UNLINK', 'absent') " /* lets the push through */
                        "return redis.call('LPUSH', 'queue', ARGV[1])",
                        payload, sizeof payload) > 0);
    scene_await(s, LIMIT_MS, settled(s, 71));
    assert_int_equal(ask_int(s, "LLEN done:mail"), 21);
    assert_int_equal(ask_int(s, "LLEN next"), 71);
    assert_int_equal(daemon_logged(s->daemon, "event=redis-refused"), 1);
    assert_int_equal(ask_int(s, "CONFIG SET maxmemory 0"), 1);
    scene_await(s, LIMIT_MS, settled(s, 81));
    assert_int_equal(results_of(s, "done:mail", "r:job").numbers, 10);
    assert_int_equal(ask_int(s, "LLEN done:mail"), 31);
    assert_int_equal(ask_int(s, "LLEN next"), 81);
    assert_int_equal(ask_int(s, "DEL done:mail next"), 2);
    rest(s);
}

static int scene_new_with_small_bulks(void **state)
{
    return scene_new_with(state, (const char *const[]){"--proto-max-bulk-len", "1mb", NULL});
}

/* A repeat would be refused for ever, and the link be cut each time. */
static const char letter[] = "return redis.call('ZRANGE', 'rpopd:{queue}:dead', 0, 0)[1]";

static void a_result_that_redis_never_takes_is_dead(void **state)
{
    struct scene *s = *state;
    scene_start(s, "concurrency = 10; " ONE("null", LIST BROKEN));
    push_numbers(s, "queue", "job", 0, 50);
    push(s, "queue", "big 1048577");
    push(s, "queue", "big 1048000");
    push_numbers(s, "queue", "job", 50, 50);
    scene_await(s, LIMIT_MS, settled(s, 101));
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "dead") == 1);
    assert_int_equal(results_equal(s, "broken", "big 1048577", 11), 1);
    scene_check(s, strstr(ask_text(s, "EVAL %s 0", letter),
                          "its result of 1048577 bytes is more than Redis takes") != NULL);
    assert_int_equal(daemon_logged(s->daemon, "event=job-dead"), 1);
    assert_int_equal(results_of(s, "done:mail", "r:job").numbers, 100);
    assert_int_equal(ask_int(s, "LLEN done:mail"), 101);
    assert_int_equal(ask_int(s, "DEL done:mail broken"), 2);
    rest(s);
}

static void so_much_output_is_no_evidence(void **state)
{
    struct scene *s = *state;
    scene_start(s, "queues = (" EXEC("queue", "head -c 2000000 /dev/zero | tr '\\\\0' x; exit 65",
                                     "output_limit = 4000000; ") ");");
    push(s, "queue", "job");
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "dead") == 1);
    scene_check(s, strstr(ask_text(s, "EVAL %s 0", letter), "exit code 65") != NULL);
    scene_check(s, strstr(ask_text(s, "EVAL %s 0", letter), "xxxx") == NULL);
    rest(s);
}

#define SMALL_BULKS(test) \
    cmocka_unit_test_setup_teardown(test, scene_new_with_small_bulks, scene_free)

int main(void)
{
    results_use_daemon();
    const struct CMUnitTest tests[] = {
        SCENE(each_result_is_pushed_once_with_its_id),
        SCENE(the_oldest_result_is_popped_first),
        SCENE(a_result_of_any_bytes_arrives_as_it_is),
        SCENE(a_result_of_64_mib_arrives_beside_small_ones),
        SCENE(a_result_is_kept_under_a_key_for_its_time),
        SCENE(the_next_list_gets_the_result_or_else_the_payload),
        SCENE(a_retried_job_hands_on_its_payload_alone),
        SCENE(three_queues_of_one_daemon_are_a_chain),
        SCENE(programs_are_a_chain),
        SCENE(the_payload_of_what_is_dead_goes_to_its_list),
        SCENE(so_does_that_of_a_cancelled_job_and_of_one_that_is_replayed),
        SCENE(so_does_that_of_one_that_brings_the_daemon_down),
        SCENE(jobs_that_are_popped_deliver_too),
        SCENE(a_list_of_another_type_is_waited_for_and_holds_up_nobody),
        SCENE(so_is_the_list_of_what_failed),
        SCENE(no_more_is_taken_than_there_are_slots_for),
        SCENE(a_full_redis_is_drained_and_larger_results_wait),
        SMALL_BULKS(a_result_that_redis_never_takes_is_dead),
        SMALL_BULKS(so_much_output_is_no_evidence),
    };
    return scene_run(tests);
}
