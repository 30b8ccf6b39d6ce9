/* Several queues in one daemon: who gets the slots. */
#include "tests/e2e/scene.h"

/* Lines `Waiting <prefix>...` of each prefix among the first `max` such lines of all. */
static unsigned among_the_first(struct scene *s, unsigned max, const char *const *prefixes,
                                unsigned *ret_counts, unsigned n)
{
    size_t len;
    unsigned seen = 0;
    memset(ret_counts, 0, n * sizeof *ret_counts);
    for (const char *at = daemon_out(s->daemon, &len); at && seen < max;) {
        for (unsigned i = 0; i < n; i++) {
            char start[32];
            (void)snprintf(start, sizeof start, "Waiting %s", prefixes[i]);
            if (strncmp(at, start, strlen(start)) != 0)
                continue;
            ret_counts[i]++;
            seen++;
        }
        at = strchr(at, '\n');
        at = at ? at + 1 : NULL;
    }
    return seen;
}

static const char *const three[] = {"0.001", "0.002", "0.003"};

/* Both limits of `slots` leave a burst's room around the exact share. */
static void are_shared(struct scene *s, unsigned slots, const unsigned *weights)
{
    unsigned seen[3], sum = weights[0] + weights[1] + weights[2], jobs = 900;
    scene_await(s, LIMIT_MS, among_the_first(s, jobs, three, seen, 3) == jobs);
    for (unsigned i = 0; i < 3; i++) {
        unsigned fair = jobs * weights[i] / sum;
        print_message("# weight %u: %u of %u, exactly %u\n", weights[i], seen[i], jobs, fair);
        assert_in_range(seen[i], fair - fair / 10 - slots, fair + fair / 10 + slots);
    }
}

#define THREE(a, b, c)                                                    \
    "queues = (" QUEUE("queue", "sleep", a) ", " QUEUE("second", "sleep", \
                                                       b) ", " QUEUE("third", "sleep", c) ");"

static void push_three(struct scene *s, unsigned each)
{
    push_numbers(s, "queue", three[0], 0, each);
    push_numbers(s, "second", three[1], 0, each);
    push_numbers(s, "third", three[2], 0, each);
}

static void slots_are_shared_by_weight(void **state)
{
    struct scene *s = *state;
    push_three(s, 700);
    scene_start(s, "concurrency = 10; " THREE("weight = 1;", "weight = 3;", "weight = 5;"));
    are_shared(s, 10, (const unsigned[]){1, 3, 5});
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
}

static void one_slot_is_shared_by_weight(void **state)
{
    struct scene *s = *state;
    push_three(s, 700);
    scene_start(s, "concurrency = 1; " THREE("weight = 1;", "weight = 3;", "weight = 5;"));
    are_shared(s, 1, (const unsigned[]){1, 3, 5});
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
}

static void without_weights_all_get_the_same(void **state)
{
    struct scene *s = *state;
    push_three(s, 500);
    scene_start(s, "concurrency = 10; workers = 2; " THREE("", "", ""));
    are_shared(s, 20, (const unsigned[]){1, 1, 1});
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
    push_numbers(s, "second", three[1], 0, 50);
    push_numbers(s, "third", three[2], 0, 50);
    daemon_signal(s->daemon, SIGCONT);
    scene_await(s, LIMIT_MS, among_the_first(s, 100, three, seen, 3) == 100);
    (void)among_the_first(s, 51, three, seen, 3);
    assert_int_equal(seen[2], 50);
    scene_await(s, LIMIT_MS, stat_of(s, "second", "done") == 51);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_string_equal(left_over(s), "");
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
        SCENE(a_lower_priority_gets_the_slots_that_no_higher_one_wants),
        SCENE(one_of_a_wrong_type_costs_the_others_nothing),
    };
    return scene_run(tests);
}
