/* Several queues in one daemon: who gets the slots. */
#include "tests/e2e/shares.h"

static void slots_are_shared_by_weight(void **state)
{
    struct scene *s = *state;
    shares_push(s, 700);
    scene_start(s, "concurrency = 10; " THREE("weight = 1;", "weight = 3;", "weight = 5;"));
    shares_are(s, 10, (const unsigned[]){1, 3, 5});
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
}

static void one_slot_is_shared_by_weight(void **state)
{
    struct scene *s = *state;
    shares_push(s, 700);
    scene_start(s, "concurrency = 1; " THREE("weight = 1;", "weight = 3;", "weight = 5;"));
    shares_are(s, 1, (const unsigned[]){1, 3, 5});
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
}

static void without_weights_all_get_the_same(void **state)
{
    struct scene *s = *state;
    shares_push(s, 500);
    scene_start(s, "concurrency = 10; workers = 2; " THREE("", "", ""));
    shares_are(s, 20, (const unsigned[]){1, 1, 1});
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
}

/* While the daemon stands still both lists fill; of each the pop that waited has brought one job,
 * and one of the two gets the only slot. */
static void a_higher_priority_is_served_first(void **state)
{
    struct scene *s = *state;
    unsigned seen[3];
    scene_start(s, "concurrency = 1; " THREE("priority = 1000;", "weight = 1000; priority = -2;",
                                             "priority = -1;"));
    push(s, "second", "0.0001");
    push(s, "third", "0.0002");
    scene_await(s, LIMIT_MS, stat_of(s, "second", "done") + stat_of(s, "third", "done") == 2);
    daemon_signal(s->daemon, SIGSTOP);
    push_numbers(s, "second", shares_of[1], 0, 50);
    push_numbers(s, "third", shares_of[2], 0, 50);
    daemon_signal(s->daemon, SIGCONT);
    scene_await(s, LIMIT_MS, shares_seen(s, 100, shares_of, seen, 3) == 100);
    (void)shares_seen(s, 51, shares_of, seen, 3);
    assert_int_equal(seen[2], 50);
    scene_await(s, LIMIT_MS, stat_of(s, "second", "done") == 51);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_string_equal(left_over(s), "");
}

static void put_due(struct scene *s, const char *queue, unsigned n, const char *payload)
{
    assert_int_equal(ask_int(s, "EVAL %s 0 %s %u %s",
                             "for i = 1, ARGV[2] do "
                             "  redis.call('ZADD', 'rpopd:{' .. ARGV[1] .. '}:retry', i, "
                             "    'd-' .. i .. ' 1 1 0 5 6 {}\\n' .. ARGV[3]) "
                             "end return 1",
                             queue, n, payload),
                     1);
}

/* The only slot is taken when both come; the fresh ones are known, for one was popped and went
 * back, before any is due. */
static void due_ones_of_a_lower_priority_wait_for_fresh_ones_of_a_higher(void **state)
{
    struct scene *s = *state;
    unsigned seen[3];
    scene_start(s, "concurrency = 1; " THREE("priority = 2;", "priority = 1;", ""));
    scene_await(s, LIMIT_MS, strstr(ask_text(s, "INFO clients"), "blocked_clients:3") != NULL);
    push(s, "queue", "1.5");
    scene_await(s, LIMIT_MS, daemon_printed(s->daemon, "Waiting 1.5") == 1);
    push_numbers(s, "second", "0.02", 0, 50);
    scene_await(s, LIMIT_MS,
                stat_of(s, "second", "given_back") == 1 ||
                    daemon_printed(s->daemon, "Done 1.5") == 1);
    bool in_time = stat_of(s, "second", "given_back") == 1; /* else the machine stood still */
    put_due(s, "third", 5, shares_of[2]);
    static const char *const two[] = {"0.02", "0.003"};
    scene_await(s, LIMIT_MS, shares_seen(s, 55, two, seen, 2) == 55);
    assert_int_equal(shares_seen(s, 50, two, seen, 2), 50);
    assert_in_range(seen[0], in_time ? 50 : 0, 50);
    scene_await(s, LIMIT_MS, stat_of(s, "third", "done") == 5);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_string_equal(left_over(s), "");
}

/* From the first of them on, nothing comes between. */
static void fresh_ones_of_a_lower_priority_wait_for_due_ones_of_a_higher(void **state)
{
    struct scene *s = *state;
    size_t len;
    push_numbers(s, "third", "0.02", 0, 1000);
    scene_start(s, "concurrency = 1; " THREE("", "priority = 1;", ""));
    scene_await(s, LIMIT_MS, daemon_printed(s->daemon, "Waiting 0.02000003") == 1);
    put_due(s, "second", 20, shares_of[1]);
    scene_await(s, LIMIT_MS, stat_of(s, "second", "done") == 20);
    const char *line = strstr(daemon_out(s->daemon, &len), "Waiting 0.002");
    for (unsigned n = 0; n < 20; line = strchr(line, '\n') + 1)
        if (strncmp(line, "Waiting ", 8) == 0) {
            assert_int_equal(strncmp(line, "Waiting 0.002\n", 14), 0);
            n++;
        }
    scene_stop(s, SIGQUIT, 0, LIMIT_MS);
}

/* A queue's due and fresh ones count alike for its weight. */
static void due_ones_are_shared_by_weight(void **state)
{
    struct scene *s = *state;
    shares_push(s, 700);
    put_due(s, "queue", 700, shares_of[0]);
    put_due(s, "third", 700, shares_of[2]);
    scene_start(s, "concurrency = 4; " THREE("weight = 1;", "weight = 3;", "weight = 5;"));
    shares_are(s, 10, (const unsigned[]){1, 3, 5});
    scene_stop(s, SIGQUIT, 0, LIMIT_MS);
}

static void a_lower_priority_gets_the_slots_that_no_higher_one_wants(void **state)
{
    struct scene *s = *state;
    push_numbers(s, "queue", "600.1", 0, 50);
    push_numbers(s, "second", "600.2", 0, 2);
    push_numbers(s, "third", "600.3", 0, 50);
    scene_start(s, "concurrency = 10; " THREE("priority = 3; concurrency = 4;", "priority = 2;",
                                              "priority = 1;"));
    scene_await(s, LIMIT_MS,
                claimed(s, "queue") == 4 && claimed(s, "second") == 2 && claimed(s, "third") == 4);
    scene_hold(s, 500, claimed(s, "queue") + claimed(s, "second") + claimed(s, "third") == 10);
    scene_stop(s, SIGQUIT, 0, LIMIT_MS);
    assert_int_equal(ask_int(s, "LLEN queue"), 50);
    assert_int_equal(ask_int(s, "LLEN second"), 2);
    assert_int_equal(ask_int(s, "LLEN third"), 50);
}

static void one_of_a_wrong_type_costs_the_others_nothing(void **state)
{
    struct scene *s = *state;
    assert_int_equal(ask_int(s, "SADD second x"), 1);
    assert_int_equal(ask_int(s, "SADD rpopd:{third}:popped x"), 1);
    scene_start(s, THREE("", "weight = 1000; priority = 9;", "weight = 1000; priority = 9;"));
    push_numbers(s, "queue", "0.00", 0, 1000);
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == 1000);
    scene_await(s, LIMIT_MS, daemon_logged(s->daemon, "queue='second' at=") == 1);
    assert_int_equal(ask_int(s, "DEL second rpopd:{third}:popped"), 2);
    push_numbers(s, "second", "0.01", 0, 10);
    push_numbers(s, "third", "0.02", 0, 10);
    scene_await(s, LIMIT_MS, stat_of(s, "second", "done") == 10);
    scene_await(s, LIMIT_MS, stat_of(s, "third", "done") == 10);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_string_equal(left_over(s), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(slots_are_shared_by_weight),
        SCENE(one_slot_is_shared_by_weight),
        SCENE(without_weights_all_get_the_same),
        SCENE(a_higher_priority_is_served_first),
        SCENE(due_ones_of_a_lower_priority_wait_for_fresh_ones_of_a_higher),
        SCENE(fresh_ones_of_a_lower_priority_wait_for_due_ones_of_a_higher),
        SCENE(due_ones_are_shared_by_weight),
        SCENE(a_lower_priority_gets_the_slots_that_no_higher_one_wants),
        SCENE(one_of_a_wrong_type_costs_the_others_nothing),
    };
    return scene_run(tests);
}
