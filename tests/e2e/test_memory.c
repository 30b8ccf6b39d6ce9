/* No memory in mid-drain, again and again: what cannot be done now is done later. No job is lost,
 * none is run again, and the daemon lives. */
#include "tests/e2e/drain.h"

#include "tests/e2e/ctl.h"
#include "tests/e2e/kinds.h"
#include "tests/e2e/shaken.h"

/* So many fail, with this chance. */
static void fail_some(struct scene *s, unsigned one_in, unsigned n)
{
    unsigned before = atomic_load(&shaken->failures);
    atomic_store(&shaken->one_in, one_in);
    scene_await(s, LIMIT_MS, atomic_load(&shaken->failures) >= before + n);
    atomic_store(&shaken->one_in, 0);
    scene_check(s, daemon_alive(s->daemon));
}

static void some_allocations_fail_in_mid_drain(void **state)
{
    static const unsigned one_in[] = {500, 100, 20, 5};
    struct scene *s = *state;
    const unsigned rounds = scene_long() ? 40 : 4;
    drain_begin(s, 300 * rounds, 20);
    for (unsigned i = 0; i < rounds; i++) {
        drain_reach(s, 30 + 300 * i);
        fail_some(s, one_in[i % 4], 3);
        drain_heals_within(s, 2000);
    }
    drain_end(s);
}

/* What connects anew, compares and reads again is without memory too. */
static void they_fail_while_links_are_cut(void **state)
{
    static const unsigned one_in[] = {100, 20, 5};
    struct scene *s = *state;
    const unsigned rounds = scene_long() ? 30 : 3;
    drain_begin(s, 300 * rounds, 20);
    for (unsigned i = 0; i < rounds; i++) {
        drain_reach(s, 30 + 300 * i);
        atomic_store(&shaken->one_in, one_in[i % 3]);
        (void)ask_int(s, "CLIENT KILL TYPE normal SKIPME yes");
        fail_some(s, one_in[i % 3], 3);
        drain_heals(s);
    }
    drain_end(s);
}

/* A job whose record cannot be written now is written later; every try is counted. */
static void they_fail_while_tries_fail(void **state)
{
    struct scene *s = *state;
    const unsigned jobs = 60;
    push_numbers(s, "queue", "600.", 0, jobs);
    scene_start(s, "concurrency = 20; " ONE("sleep", "timeout = 0.05; attempts = 3; "
                                                     "backoff: { base = 0.05; factor = 1.0; };"));
    for (unsigned i = 0; i < 3; i++) {
        scene_await(s, LIMIT_MS, printed(s, "Waiting", "600.", jobs).total > 40 * i);
        fail_some(s, 20, 3);
    }
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "dead") == jobs);
    scene_await(s, LIMIT_MS, claimed(s, "queue") == 0);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_int_equal(printed(s, "Waiting", "600.", jobs).total, 3 * jobs);
    assert_int_equal(ask_int(s, "ZCARD rpopd:{queue}:dead"), jobs);
    assert_string_equal(left_over(s), "");
}

/* Of many queues one that rests is to be registered anew, under an epoch that there is no memory
 * for. */
static void they_fail_while_queues_wake(void **state)
{
    static const char owners[] = "return #redis.call('KEYS', 'rpopd:*:owner:*')";
    struct scene *s = *state;
    char *conf = scene_queues(80, "lease = 1.0;"), queue[8];
    scene_start(s, conf);
    free(conf);
    scene_await(s, LIMIT_MS, ask_int(s, "EVAL %s 0", owners) == 80);
    scene_await(s, LIMIT_MS, ask_int(s, "EVAL %s 0", owners) == 0);
    atomic_store(&shaken->one_in, 2);
    for (unsigned i = 1; i <= 40; i++) {
        (void)snprintf(queue, sizeof queue, "q%u", i);
        push_numbers(s, queue, "0.00", i, 1);
    }
    fail_some(s, 2, 40);
    scene_await(s, LIMIT_MS, printed(s, "Done", "0.00", 41).distinct == 40);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_int_equal(printed(s, "Done", "0.00", 41).total, 40);
    assert_string_equal(left_over(s), "");
}

/* Of each kind, and while somebody asks. */
static void they_fail_where_jobs_of_every_kind_run(void **state)
{
    static const unsigned one_in[] = {100, 20, 5};
    struct scene *s = *state;
    const unsigned rounds = scene_long() ? 30 : 3;
    long long pushed = 0;
    kinds_start(s);
    for (unsigned i = 0; i < rounds; i++) {
        unsigned before = atomic_load(&shaken->failures);
        atomic_store(&shaken->one_in, one_in[i % 3]);
        for (int64_t end = clock_now_ms() + LIMIT_MS; clock_now_ms() < end; scene_tick()) {
            if (atomic_load(&shaken->failures) >= before + 10)
                break;
            kinds_push(s, &pushed);
            (void)CTL(s, "jobs");
        }
        atomic_store(&shaken->one_in, 0);
        scene_check(s, atomic_load(&shaken->failures) >= before + 10);
        scene_await(s, LIMIT_MS, kinds_done(s, pushed) || !daemon_alive(s->daemon));
        scene_check(s, daemon_alive(s->daemon));
        kinds_none_is_dead(s, "memory");
    }
    print_message("# %lld jobs of each kind\n", pushed);
    kinds_end(s);
}

/* It says so and ends with 70, or it does without; and the next one takes everything. */
static void they_fail_at_the_start(void **state)
{
    struct scene *s = *state;
    const unsigned lives = scene_long() ? 200 : 20, jobs = 20;
    unsigned ended = 0;
    push_numbers(s, "queue", "600.", 0, jobs);
    for (unsigned i = 0; i < lives; i++) {
        unsigned lines = daemon_log_lines(s->daemon),
                 begun = printed(s, "Waiting", "600.", jobs).total;
        atomic_store(&shaken->one_in, 10 * (i % 20 + 1));
        scene_launch(s, ONE("sleep", "max_recoveries = 1000000;"));
        scene_await(s, LIMIT_MS,
                    !daemon_alive(s->daemon) ||
                        printed(s, "Waiting", "600.", jobs).total >= begun + jobs);
        atomic_store(&shaken->one_in, 0);
        if (daemon_alive(s->daemon)) {
            daemon_kill(s->daemon);
            continue;
        }
        ended++;
        assert_int_equal(daemon_wait(s->daemon, 0), 70);
        assert_true(daemon_log_lines(s->daemon) > lines);
    }
    print_message("# %u of %u ended at the start\n", ended, lives);
    assert_true(ended > 0);
    scene_start(s, ONE("sleep", "max_recoveries = 1000000;"));
    scene_await(s, LIMIT_MS, claimed(s, "queue") == jobs);
    scene_stop(s, SIGQUIT, 0, LIMIT_MS);
    assert_int_equal(held(s, "queue", "600.", jobs).total, jobs);
    assert_int_equal(held(s, "queue", "600.", jobs).distinct, jobs);
}

int main(void)
{
    scene_program("tests/e2e/rpopd-shaken");
    const struct CMUnitTest tests[] = {
        SHAKEN(some_allocations_fail_in_mid_drain),
        SHAKEN(they_fail_while_links_are_cut),
        SHAKEN(they_fail_while_tries_fail),
        SHAKEN(they_fail_while_queues_wake),
        SHAKEN(they_fail_where_jobs_of_every_kind_run),
        SHAKEN(they_fail_at_the_start),
    };
    return scene_run(tests);
}
