/* The configuration: what is read, and what mistakes look like. */
#include "tests/unit/conf_text.h"

#include <math.h>

#include "common/log.h"

static void defaults_are_those_of_the_table(void **state)
{
    (void)state;
    struct conf *c = good(Q);
    assert_string_equal(c->redis.url, "redis://127.0.0.1:6379/0");
    assert_int_equal(c->redis.connect_timeout_ms, 5000);
    assert_int_equal(c->redis.command_timeout_ms, 5000);
    assert_true(c->redis.wait);
    assert_int_equal(c->workers, 1);
    assert_int_equal(c->concurrency, 100);
    assert_int_equal(c->shutdown_timeout_ms, 25000);
    assert_int_equal(c->lease_ms, 15000);
    assert_int_equal(c->log_level, CONF_LOG_INFO);
    assert_int_equal(c->log_format, CONF_LOG_AUTO);
    assert_string_equal(c->admin_socket, "");
    assert_int_equal(c->nqueues, 1);
    const struct conf_queue *q = &c->queues[0];
    assert_string_equal(q->name, "queue");
    assert_string_equal(q->handler.type, "null");
    assert_int_equal(q->weight, 1);
    assert_int_equal(q->priority, 0);
    assert_int_equal(q->concurrency, 0);
    assert_int_equal(q->timeout_ms, 300000);
    assert_int_equal(q->attempts, 10);
    assert_int_equal(q->backoff_base_ms, 1000);
    assert_int_equal(q->backoff_max_ms, 3600000);
    assert_true(fabs(q->backoff_factor - 2) < 1e-9 && fabs(q->backoff_jitter - 0.1) < 1e-9);
    assert_int_equal(q->delivery, CONF_AT_LEAST_ONCE);
    assert_int_equal(q->max_payload, 67108864);
    assert_int_equal(q->max_recoveries, 3);
    assert_string_equal(q->recoveries_to, "dead");
    assert_int_equal(q->dead_max, 10000);
    assert_true(q->dead_age_ms == 15552000000);
    assert_int_equal(q->output_limit, 65536);
    assert_string_equal(q->result_list, "");
    assert_int_equal(q->result_key_ttl_ms, 0);
    assert_string_equal(q->on_success, "");
    assert_string_equal(q->on_failure, "");
    assert_null(c->not_in_effect[0]);
    (void)conf_free(c);
}

static void a_choice_is_the_right_one_of_its_enum(void **state)
{
    (void)state;
    static const char *const levels[] = {"debug", "info", "warning", "error"};
    static const char *const formats[] = {"auto", "text", "keyvalue", "journal", "json"};
    char text[400];
    for (int i = 0; i < 20; i++) {
        (void)snprintf(text, sizeof text, "log: { level = \"%s\"; format = \"%s\"; };" Q,
                       levels[i % 4], formats[i % 5]);
        struct conf *c = good(text);
        assert_int_equal(c->log_level, i % 4);
        assert_int_equal(c->log_format, i % 5);
        (void)conf_free(c);
    }
    struct conf *c = good("queues: ( { name = \"a\"; handler: { type = \"null\"; }; delivery = "
                          "\"at-most-once\"; } );");
    assert_int_equal(c->queues[0].delivery, CONF_AT_MOST_ONCE);
    (void)conf_free(c);
}

#define ONCE                                                                \
    "queues: (\n{ name = \"a\"; handler: { type = \"null\"; }; delivery = " \
    "\"at-most-once\";\n"

static void what_is_delivered_at_most_once_is_tried_once(void **state)
{
    (void)state;
    struct conf *c = good(ONCE "} );");
    assert_int_equal(c->queues[0].attempts, 1);
    (void)conf_free(c);
    c = good(ONCE "attempts = 1; } );");
    assert_int_equal(c->queues[0].attempts, 1);
    (void)conf_free(c);
    assert_int_equal(load(ONCE "attempts = 10; } );", &c), -EINVAL);
    assert_string_equal(said, "f:3: queues[0].attempts: is 10, allowed is 1 where delivery is "
                              "at-most-once\n");
}

static void seconds_are_kept_to_the_millisecond(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms;
    } rows[] = {{"lease = 1.5;" Q, 1500},      {"lease = 2;" Q, 2000},
                {"lease = 1.0004;" Q, 1000},   {"lease = 1.0006;" Q, 1001},
                {"lease = 3.6e3;" Q, 3600000}, {"lease = +1.25;" Q, 1250},
                {"lease = 0x10;" Q, 16000}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct conf *c = good(rows[i].text);
        assert_int_equal(c->lease_ms, rows[i].ms);
        (void)conf_free(c);
    }
    struct conf *c =
        good("shutdown_timeout = 0.0001;" Q); /* 0 would mean something else elsewhere */
    assert_int_equal(c->shutdown_timeout_ms, 1);
    (void)conf_free(c);
}

static void near_misses_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *text, *want;
    } rows[] = {
        {"worker = 1;" Q, "f:1: worker: is no setting, did you mean `workers`\n"},
        {"Workers = 1;" Q, "f:1: Workers: is no setting, did you mean `workers`\n"},
        {"wrokers = 1;" Q, "f:1: wrokers: is no setting, did you mean `workers`\n"},
        {"reddis: { url = \"x\"; };" Q, "f:1: reddis: is no setting, did you mean `redis`\n"},
        {"redis: { ulr = \"x\"; };" Q, "f:1: redis.ulr: is no setting, did you mean `redis.url`\n"},
        {"connect_timeout = 1.0;" Q,
         "f:1: connect_timeout: is no setting, did you mean `redis.connect_timeout`\n"},
        {"redis: { workers = 2; };" Q,
         "f:1: redis.workers: is no setting, did you mean `workers`\n"},
        {"quux = 1;" Q, "f:1: quux: is no setting, allowed are those of rpopd.conf(5)\n"},
        {"queues: ( { name = \"a\"; handler: { type = \"null\"; }; attempt = 1; } );",
         "f:1: queues[0].attempt: is no setting, did you mean `attempts`\n"},
        {"queues: ( { name = \"a\"; handler: { typ = \"null\"; type = \"null\"; }; } );",
         "f:1: queues[0].handler.typ: is no setting, did you mean `handler.type`\n"},
    };
    struct conf *c;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(load(rows[i].text, &c), -EINVAL);
        assert_string_equal(said, rows[i].want);
    }
}

static void what_is_required_is_missed(void **state)
{
    (void)state;
    static const struct {
        const char *text, *front;
    } rows[] = {
        {"", "f:1: queues: is missing, needed is a list of "},
        {"# nothing\n", "f:1: queues: is missing, needed is "},
        {"workers = 2;", "f:1: queues: is missing, needed is "},
        {"\nqueues: ();", "f:2: queues: has 0 groups, allowed is a list of 1 to 10000 groups"},
        {"queues: (\n{ handler: { type = \"null\"; }; } );",
         "f:2: queues[0].name: is missing, needed is text"},
        {"queues: (\n{ name = \"a\"; } );",
         "f:2: queues[0].handler.type: is missing, needed is one of \"sleep\", \"null\""},
        {"queues: (\n{ name = \"a\"; handler: { }; } );",
         "f:2: queues[0].handler.type: is missing, needed is "},
        {"queues: (\n{ name = \"a\"; handler = \"null\"; } );",
         "f:2: queues[0].handler: is no group, allowed is {"},
        {"queues: (\n5 );", "f:2: queues[0]: is no group, allowed is {"},
    };
    struct conf *c;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(load(rows[i].text, &c), -EINVAL);
        if (strncmp(said, rows[i].front, strlen(rows[i].front)) != 0 || strchr(said, '\n')[1])
            fail_msg("%s\nwanted %s\nsaid %s", rows[i].text, rows[i].front, said);
    }
}

static void a_list_is_consumed_by_one_queue(void **state)
{
    (void)state;
    struct conf *c;
    assert_int_equal(load("queues: ( { name = \"a\"; handler: { type = \"null\"; }; },\n"
                          " { name = \"b\"; handler: { type = \"null\"; }; },\n"
                          " { handler: { type = \"null\"; };\n name = \"a\"; } );",
                          &c),
                     -EINVAL);
    assert_string_equal(
        said,
        "f:4: queues[2].name: \"a\" is the name of queues[0] too, allowed is one queue a list\n");
}

static void a_queue_does_not_push_to_itself(void **state)
{
    (void)state;
    static const char *const rows[] = {"result: {\nlist", "\non_success", "\non_failure",
                                       "\nrecoveries_to"};
    static const char *const names[] = {"result.list", "on_success", "on_failure", "recoveries_to"};
    char text[200], want[200];
    struct conf *c;
    for (size_t i = 0; i < 4; i++) {
        const char *end = i ? "" : " };";
        (void)snprintf(
            text, sizeof text,
            "queues: ( { %s = \"a\";%s handler: { type = \"null\"; }; name = \"a\"; } );", rows[i],
            end);
        (void)snprintf(
            want, sizeof want,
            "f:2: queues[0].%s: is the queue itself, for ever, allowed is another list\n",
            names[i]);
        assert_int_equal(load(text, &c), -EINVAL);
        assert_string_equal(said, want);
        text[strlen(text) - 8] = 'b';
        (void)conf_free(good(text));
    }
}

static void what_is_not_in_effect_yet_is_listed_once(void **state)
{
    (void)state;
    struct conf *c =
        good("admin: { http = \"127.0.0.1:1\"; socket = \"\"; };\n"
             "queues: ( { name = \"a\"; handler: { type = \"null\"; }; recoveries_to = \"x\"; "
             "delivery = \"at-most-once\"; attempts = 1; } );");
    assert_string_equal(c->not_in_effect[0], "admin.http");
    assert_null(c->not_in_effect[1]);
    (void)conf_free(c);
}

static void all_mistakes_are_shown_up_to_a_limit(void **state)
{
    (void)state;
    struct conf *c;
    assert_int_equal(
        load("workers = yes;\nlease = \"x\";\nworkres = 1;\nconcurrency = 010;\nlease = 2;\n"
             "redis: { wait = 1; };\nqueues: ( { name = \"\"; } );\n",
             &c),
        -EINVAL);
    static const char *const fronts[] = {
        "f:1: workers: ",           "f:4: concurrency: ",
        "f:5: lease: is set twice", "f:2: lease: is text",
        "f:3: workres: ",           "f:6: redis.wait: is a whole number",
        "f:7: queues[0].name: ",    "f:7: queues[0].handler.type: is missing"};
    const char *p = said;
    for (size_t i = 0; i < sizeof fronts / sizeof *fronts; i++, p = strchr(p, '\n') + 1)
        assert_memory_equal(p, fronts[i], strlen(fronts[i]));
    assert_int_equal(*p, '\0');
    char *text = test_malloc(10000);
    size_t n = 0;
    for (int i = 0; i < 60; i++)
        n += (size_t)sprintf(text + n, "unknown%d = 1;\n", i);
    strcpy(text + n, Q);
    assert_int_equal(load(text, &c), -EINVAL);
    test_free(text);
    assert_non_null(strstr(said, "f:50: unknown49: "));
    assert_non_null(strstr(said, "\nf: 10 more mistakes are not shown\n"));
}

static void a_name_is_escaped_for_the_log(void **state)
{
    (void)state;
    char text[1000], name[400];
    struct conf *c =
        good("queues = ({ name = \"it's\\n\\\\\\x1b\"; handler: { type = \"null\"; }; });");
    assert_string_equal(c->queues[0].name, "it's\n\\\x1b");
    assert_string_equal(c->queues[0].label, "it\\'s\\n\\\\\\x1b");
    (void)conf_free(c);
    memset(name, '\'', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    (void)snprintf(text, sizeof text,
                   "queues = ({ name = \"%s\"; handler: { type = \"null\"; }; });", name);
    c = good(text);
    assert_int_equal(strlen(c->queues[0].name), sizeof name - 1);
    assert_in_range(strlen(c->queues[0].label), 200, LOG_QUOTE_MAX);
    (void)conf_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_those_of_the_table),
        cmocka_unit_test(a_choice_is_the_right_one_of_its_enum),
        cmocka_unit_test(what_is_delivered_at_most_once_is_tried_once),
        cmocka_unit_test(seconds_are_kept_to_the_millisecond),
        cmocka_unit_test(near_misses_are_named),
        cmocka_unit_test(what_is_required_is_missed),
        cmocka_unit_test(a_list_is_consumed_by_one_queue),
        cmocka_unit_test(a_name_is_escaped_for_the_log),
        cmocka_unit_test(a_queue_does_not_push_to_itself),
        cmocka_unit_test(what_is_not_in_effect_yet_is_listed_once),
        cmocka_unit_test(all_mistakes_are_shown_up_to_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
