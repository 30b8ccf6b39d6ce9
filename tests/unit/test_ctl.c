/* What rpopctl prints: aligned tables, durations, text and JSON from the same answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base64.h"
#include "daemon/ctl_payload.h"
#include "daemon/ctl_print.h"
#include "daemon/ctl_table.h"

struct page { /* what was printed */
    FILE *out;
    char *text;
    size_t len;
};

static int page_open(void **state)
{
    struct page *p = calloc(1, sizeof *p);
    *state = p;
    return p && (p->out = open_memstream(&p->text, &p->len)) ? 0 : -1;
}

static int page_close(void **state)
{
    struct page *p = *state;
    (void)fclose(p->out);
    free(p->text);
    free(p);
    return 0;
}

static const char *printed(struct page *p)
{
    (void)fflush(p->out);
    return p->text;
}

static void columns_are_as_wide_as_their_widest_cell(void **state)
{
    struct page *p = *state;
    struct table *t = table_new("NAME|>N|STATE");
    table_cell(t, "a");
    table_number(t, 12345);
    table_cell(t, "ok");
    table_cell(t, "longer");
    table_number(t, -1);
    table_cell(t, "paused");
    table_print(t, p->out);
    (void)table_free(t);
    assert_string_equal(printed(p), "NAME        N  STATE\n"
                                    "a       12345  ok\n"
                                    "longer     -1  paused\n");
}

static void widths_count_characters_and_nothing_steers_the_terminal(void **state)
{
    struct page *p = *state;
    struct table *t = table_new("A|B");
    table_cell(t, "\xc3\xa9\xc3\xa9\xc3\xa9");
    table_cell(t, "x");
    table_cell(t, "\x1b[2J");
    table_cell(t, "\xff\n");
    table_print(t, p->out);
    (void)table_free(t);
    assert_string_equal(printed(p), "A        B\n"
                                    "\xc3\xa9\xc3\xa9\xc3\xa9      x\n"
                                    "\\x1b[2J  \\xff\\n\n");
}

static void an_empty_table_prints_nothing(void **state)
{
    struct page *p = *state;
    struct table *t = table_new("A|B");
    table_print(t, p->out);
    (void)table_free(t);
    assert_string_equal(printed(p), "");
}

static void durations_have_two_units(void **state)
{
    (void)state;
    static const struct {
        long long ms;
        const char *text;
    } cases[] = {{-5, "0s"},
                 {999, "0s"},
                 {59999, "59s"},
                 {60000, "1m 0s"},
                 {3599999, "59m 59s"},
                 {3600000, "1h 0m"},
                 {86399000, "23h 59m"},
                 {90000000, "1d 1h"},
                 {8640000000, "100d 0h"}};
    char out[32];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_string_equal(print_duration(cases[i].ms, out, sizeof out), cases[i].text);
}

static const char job[] =
    "{\"id\":\"a.1-1-0\",\"queue\":\"q\",\"age_ms\":61000,\"state\":\"running\",\"worker\":1,"
    "\"handler\":\"sleep\",\"pid\":null,\"attempt\":2,\"payload_bytes\":3}";

static void print(struct page *p, enum print_kind kind, bool json, const char *item,
                  const char *last)
{
    struct print *x = print_new(kind, json, p->out);
    json_t *i = item ? json_loads(item, 0, NULL) : NULL,
           *l = last ? json_loads(last, 0, NULL) : NULL;
    if (i) {
        assert_int_equal(print_item(x, i), 0);
        assert_int_equal(print_item(x, i), 0);
    }
    print_end(x, l);
    json_decref(i);
    json_decref(l);
}

static void jobs_are_a_table(void **state)
{
    struct page *p = *state;
    print(p, PRINT_JOBS, false, job, "{}");
    assert_string_equal(printed(p),
                        "ID       QUEUE    AGE  STATE    WORKER  HANDLER  PID  ATTEMPT  BYTES\n"
                        "a.1-1-0  q      1m 1s  running       1  sleep      -        2      3\n"
                        "a.1-1-0  q      1m 1s  running       1  sleep      -        2      3\n");
}

static json_t *document(struct page *p)
{
    json_t *json = json_loads(printed(p), 0, NULL);
    assert_non_null(json);
    return json;
}

static void jobs_are_an_array(void **state)
{
    struct page *p = *state;
    print(p, PRINT_JOBS, true, job, "{}");
    json_t *json = document(p), *want = json_loads(job, 0, NULL);
    assert_int_equal(json_array_size(json), 2);
    assert_true(json_equal(json_array_get(json, 1), want));
    json_decref(want);
    json_decref(json);
}

static void no_jobs_are_an_empty_array(void **state)
{
    struct page *p = *state;
    print(p, PRINT_JOBS, true, NULL, "{}");
    assert_string_equal(printed(p), "[]\n");
}

static void an_answer_that_is_broken_off_is_still_a_document(void **state)
{
    struct page *p = *state;
    print(p, PRINT_JOBS, true, job, NULL);
    json_decref(document(p));
}

static void so_is_an_object_with_items(void **state)
{
    struct page *p = *state;
    print(p, PRINT_FSCK, true, "{\"kind\":\"bits\"}", NULL);
    json_t *json = document(p);
    assert_int_equal(json_array_size(json_object_get(json, "findings")), 2);
    json_decref(json);
}

static void a_refusal_is_no_document(void **state)
{
    struct page *p = *state;
    for (int kind = PRINT_STATUS; kind <= PRINT_FSCK; kind++)
        print(p, (enum print_kind)kind, true, NULL, NULL);
    assert_string_equal(printed(p), "");
}

static void without_findings_their_array_is_empty(void **state)
{
    struct page *p = *state;
    print(p, PRINT_FSCK, true, NULL, "{\"found\":0,\"a\":[\"\\\"\"]}");
    json_t *json = document(p), *a = json_object_get(json, "a");
    assert_true(json_is_array(json_object_get(json, "findings")));
    assert_int_equal(json_object_size(json), 3);
    assert_string_equal(json_string_value(json_array_get(a, 0)), "\"");
    json_decref(json);
}

static void a_long_table_comes_in_pieces(void **state)
{
    struct page *p = *state;
    struct print *x = print_new(PRINT_JOBS, false, p->out);
    json_t *item = json_loads(job, 0, NULL);
    unsigned lines = 0, heads = 0;
    for (int i = 0; i < 999; i++)
        (void)print_item(x, item);
    assert_string_equal(printed(p), "");
    (void)json_object_set_new(item, "queue", json_string("longer"));
    for (int i = 0; i < 501; i++)
        (void)print_item(x, item);
    assert_non_null(strstr(printed(p), "\na.1-1-0  longer  1m 1s")); /* the 1000th */
    print_end(x, NULL);
    for (const char *at = printed(p); (at = strchr(at, '\n')); at++)
        lines++;
    for (const char *at = p->text; (at = strstr(at, "QUEUE")); at++)
        heads++;
    assert_int_equal(lines, 1501);
    assert_int_equal(heads, 1);
    json_decref(item);
}

static const char unknown[] =
    "{\"queue\":\"q\",\"inflight\":1,\"running\":1,\"waiting\":0,\"registered\":true,\"troubles\":"
    "[{\"at\":\"claim\",\"error\":\"OOM\"}],\"depth\":null,\"retry\":null,\"delayed\":null,"
    "\"dead\":null,\"paused\":null,\"reason\":null,\"stats\":null}";
static const char head[] =
    "{\"version\":\"9\",\"instance\":\"i\",\"pid\":5,\"uptime_ms\":1000,\"life\":\"running\","
    "\"redis\":{\"up\":false,\"address\":\"a\",\"error\":\"gone\",\"rtt_ms\":null,\"reconnects\":2}"
    ","
    "\"workers\":[{\"worker\":0,\"running\":1,\"hangs_ms\":7100}],\"slots\":10,"
    "\"since_start\":{\"done\":5,\"retried\":4,\"dead\":3,\"cancelled\":2,\"lost\":1},\"log_"
    "dropped\":7}";

static void what_redis_did_not_tell_is_a_question_mark(void **state)
{
    struct page *p = *state;
    print(p, PRINT_STATUS, false, unknown, head);
    assert_non_null(strstr(printed(p),
                           "rpopd    9, instance i, pid 5, up 1s, running\n"
                           "redis    a, down, 2 reconnects, gone\n"
                           "workers  1, running 1: 1 of 10 slots, worker 0 hangs for 7s\n"
                           "jobs     5 done, 4 retried, 3 dead, 2 cancelled, 1 lost "
                           "since the start\n"
                           "log      7 lines dropped: no room, no reader or no disk\n\n"));
    assert_non_null(strstr(p->text, "q          ?        1        0      ?        ?     ?     ?"));
    assert_non_null(strstr(p->text, "OOM at claim\n"));
}

static void the_queues_stand_within_the_status(void **state)
{
    struct page *p = *state;
    print(p, PRINT_STATUS, true, unknown, head);
    json_t *json = document(p);
    assert_int_equal(json_array_size(json_object_get(json, "queues")), 2);
    assert_string_equal(json_string_value(json_object_get(json, "version")), "9");
    json_decref(json);
}

static void every_payload_comes_back_from_its_pieces(void **state)
{
    (void)state;
    char bytes[256];
    for (int i = 0; i < 256; i++)
        bytes[i] = (char)i;
    for (size_t len = 0; len <= 256; len++) {
        struct payload p = {0};
        char *first = base64_encode(bytes, len / 2),
             *second = base64_encode(bytes + len / 2, len - len / 2);
        assert_int_equal(payload_add(&p, first), 0);
        assert_int_equal(payload_add(&p, second), 0);
        assert_int_equal(p.len, len);
        assert_memory_equal(p.bytes, bytes, len);
        free(first);
        free(second);
        payload_clear(&p);
    }
}

static void what_is_no_base64_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {"a", "abc", "ab-d", "=abc", "a===", "ab=d", "ab==abcd"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct payload p = {0};
        if (payload_add(&p, texts[i]) == 0)
            fail_msg("'%s' is taken", texts[i]);
        payload_clear(&p);
    }
}

static void a_payload_is_text_where_it_can_be(void **state)
{
    (void)state;
    struct payload p = {0};
    json_t *o = json_object();
    payload_to_json(&p, o);
    assert_string_equal(json_string_value(json_object_get(o, "payload")), "");
    assert_int_equal(payload_add(&p, "AMOp"), 0); /* NUL, e acute */
    payload_to_json(&p, o);
    assert_int_equal(json_string_length(json_object_get(o, "payload")), 3);
    json_object_clear(o);
    assert_int_equal(payload_add(&p, "/w=="), 0);
    payload_to_json(&p, o);
    assert_string_equal(json_string_value(json_object_get(o, "payload_base64")), "AMOp/w==");
    assert_null(json_object_get(o, "payload"));
    payload_clear(&p);
    json_decref(o);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, page_open, page_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(columns_are_as_wide_as_their_widest_cell),
        TEST(widths_count_characters_and_nothing_steers_the_terminal),
        TEST(an_empty_table_prints_nothing),
        TEST(durations_have_two_units),
        TEST(jobs_are_a_table),
        TEST(jobs_are_an_array),
        TEST(no_jobs_are_an_empty_array),
        TEST(an_answer_that_is_broken_off_is_still_a_document),
        TEST(so_is_an_object_with_items),
        TEST(a_refusal_is_no_document),
        TEST(without_findings_their_array_is_empty),
        TEST(a_long_table_comes_in_pieces),
        TEST(what_redis_did_not_tell_is_a_question_mark),
        TEST(the_queues_stand_within_the_status),
        TEST(every_payload_comes_back_from_its_pieces),
        TEST(what_is_no_base64_is_refused),
        TEST(a_payload_is_text_where_it_can_be),
    };
    return cmocka_run_group_tests_name("ctl", tests, NULL, NULL);
}
