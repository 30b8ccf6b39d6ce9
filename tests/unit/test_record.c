/* LDFLAGS: -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=strdup,--wrap=asprintf */
/* A job as a record: what is written and read, the evidence, the same bytes at each repeat. */
#include <errno.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/clock.h"
#include "daemon/record.h"
#include "tests/lib/oom.h"

#define BIRTH "0123456789abcdef.1-7"

static const struct conf_queue conf = {.name = (char *)"q", .output_limit = 12};

static struct job *a_job(const void *payload, size_t len, const char *reason)
{
    struct job *j = job_new(&conf, payload, len);
    assert_non_null(j);
    j->birth = BIRTH;
    j->index = 4;
    j->attempt = 3;
    j->strikes = 1;
    j->first_ms = 1700000000123;
    j->reason = reason ? strdup(reason) : NULL;
    return j;
}

/* What stands behind the five words of the head, up to its line end. The times are checked. */
static char *evidence_of(const char *record, int64_t before)
{
    static char line[20000];
    long long first, last;
    int at = 0;
    assert_int_equal(sscanf(record, BIRTH "-4 1 3 1 %lld %lld %n", &first, &last, &at), 2);
    assert_int_equal(first, 1700000000123);
    assert_in_range(last, before, clock_wall_ms());
    const char *end = strchr(record, '\n');
    assert_non_null(end);
    assert_true(at > 0 && (size_t)(end - record - at) < sizeof line);
    memcpy(line, record + at, (size_t)(end - record - at));
    line[end - record - at] = '\0';
    return line;
}

static void assert_reason(const char *given, const char *want)
{
    int64_t before = clock_wall_ms();
    struct job *j = a_job("x", 1, given);
    const char *record = record_head(j, "host");
    assert_non_null(record);
    json_t *o = json_loads(evidence_of(record, before), JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(o);
    assert_string_equal(json_string_value(json_object_get(o, "reason")), want);
    assert_string_equal(json_string_value(json_object_get(o, "instance")), "host");
    json_decref(o);
    (void)job_free(j);
}

static void a_head_is_one_line(void **state)
{
    (void)state;
    int64_t before = clock_wall_ms();
    struct job *j = a_job("a\0\nb", 4, "no number");
    const char *record = record_head(j, "host-1");
    assert_non_null(record);
    assert_string_equal(evidence_of(record, before),
                        "{\"reason\":\"no number\",\"instance\":\"host-1\"}");
    assert_ptr_equal(strchr(record, '\n') + 1, record + strlen(record));
    (void)job_free(j);
}

static void any_reason_stays_one_line_of_json(void **state)
{
    (void)state;
    assert_reason("plain", "plain");
    assert_reason(NULL, "");
    assert_reason("", "");
    assert_reason("two\nlines\r\t\"quoted\" \\ \x01", "two\nlines\r\t\"quoted\" \\ \x01");
    assert_reason("gr\xc3\xbc\xc3\x9f \xe2\x80\xa8 \xf0\x9f\x98\x80",
                  "gr\xc3\xbc\xc3\x9f \xe2\x80\xa8 \xf0\x9f\x98\x80");
    assert_reason("latin \xfc", "(the reason is not valid UTF-8)");
    assert_reason("cut \xe2\x80", "(the reason is not valid UTF-8)");
}

/* The clock goes on between the two: the head is not made anew. */
static void a_repeat_writes_the_same_bytes(void **state)
{
    (void)state;
    struct job *j = a_job("payload", 7, "why");
    const char *record = record_head(j, "host");
    assert_non_null(record);
    assert_ptr_equal(record_head(j, "host"), record);
    (void)job_free(j);
}

static const char *evidence_with(struct job *j, enum job_outcome outcome)
{
    int64_t before = clock_wall_ms();
    free(j->record);
    j->record = NULL;
    j->outcome = outcome;
    const char *record = record_head(j, "h");
    assert_non_null(record);
    return evidence_of(record, before);
}

static void what_the_handler_left_is_evidence(void **state)
{
    (void)state;
    struct job *j = a_job("x", 1, "r");
    j->evidence.exit_code = 0;
    j->evidence.status = 503;
    assert_string_equal(evidence_with(j, JOB_RETRY),
                        "{\"reason\":\"r\",\"exit\":0,\"status\":503,\"instance\":\"h\"}");
    j->evidence.exit_code = -1;
    j->evidence.status = 0;
    j->evidence.signal = 9;
    assert_string_equal(evidence_with(j, JOB_DEAD),
                        "{\"reason\":\"r\",\"signal\":9,\"instance\":\"h\"}");
    (void)job_free(j);
}

static void how_long_it_ran_is_evidence_where_it_did(void **state)
{
    (void)state;
    struct job *j = a_job("x", 1, "r");
    j->run_ms = 4000000000;
    assert_string_equal(evidence_with(j, JOB_DEAD), "{\"reason\":\"r\",\"instance\":\"h\"}");
    atomic_store(&j->begun, true);
    assert_string_equal(evidence_with(j, JOB_DEAD),
                        "{\"reason\":\"r\",\"run_ms\":4000000000,\"instance\":\"h\"}");
    (void)job_free(j);
}

static void the_output_lies_with_a_dead_letter_alone(void **state)
{
    (void)state;
    struct job *j = a_job("x", 1, "r");
    assert_int_equal(job_output(j, "two\nlines", 9), 0);
    assert_string_equal(evidence_with(j, JOB_RETRY), "{\"reason\":\"r\",\"instance\":\"h\"}");
    assert_string_equal(evidence_with(j, JOB_DEAD),
                        "{\"reason\":\"r\",\"instance\":\"h\",\"output\":\"two\\nlines\"}");
    (void)job_free(j);
}

/* The limit, 12 bytes here, cuts bytes and not characters. */
static void output_that_is_no_text_is_in_base64(void **state)
{
    (void)state;
    static const struct {
        const char *given, *want;
    } rows[] = {
        {"\xff", "\"output_base64\":\"/w==\""},
        {"a\xff", "\"output_base64\":\"Yf8=\""},
        {"ab\xff", "\"output_base64\":\"YWL/\""},
        {"x\xf0\x9f\x98\x80 123456789", "\"output\":\" 123456789\""},
        {"x\xf0\x9f\x98\x80 12345678", "\"output\":\" 12345678\""},
        {"x\xf0\x9f\x98\x80 1234567", "\"output\":\"\\uD83D\\uDE00 1234567\""},
        {"\x80\x80\x80\x80", "\"output_base64\":\"gICAgA==\""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct job *j = a_job("x", 1, "r");
        assert_int_equal(job_output(j, rows[i].given, strlen(rows[i].given)), 0);
        assert_non_null(strstr(evidence_with(j, JOB_DEAD), rows[i].want));
        (void)job_free(j);
    }
}

static void what_was_written_is_read(void **state)
{
    (void)state;
    struct record r;
    struct job *j = a_job("x", 1, "why");
    const char *head = record_head(j, "host");
    assert_non_null(head);
    assert_int_equal(record_parse(head, strlen(head), &r), 0);
    assert_int_equal(r.id_len, strlen(BIRTH "-4"));
    assert_int_equal(r.attempt, 3);
    assert_int_equal(r.strikes, 1);
    assert_int_equal(r.first_ms, 1700000000123);
    assert_int_equal(r.head, strlen(head));
    assert_memory_equal(head + r.evidence_at, "{\"reason\":\"why\"", 15);
    (void)job_free(j);
}

static void the_payload_begins_behind_the_first_line(void **state)
{
    (void)state;
    static const char record[] = "i 1 0 0 0 0 \nb\n\0c";
    struct record r;
    assert_int_equal(record_parse(record, sizeof record - 1, &r), 0);
    assert_int_equal(r.id_len, 1);
    assert_int_equal(r.attempt, 0);
    assert_int_equal(r.head, 13);
    assert_int_equal(r.evidence_at, 12);
}

static void what_is_no_record_is_not_read(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "",
        "\n",
        "i 1 1 0 5 6 {}",
        " 1 1 0 5 6 {}\n",
        "i\n",
        "i \n",
        "i 2 1 0 5 6 {}\n",
        "i 11 1 0 5 6 {}\n",
        "i 1  1 0 5 6 {}\n",
        "i 1 -1 0 5 6 {}\n",
        "i 1 +1 0 5 6 {}\n",
        "i 1 1 0 5\n",
        "i 1 1 0 5 6\n",
        "i 1 1 0 5 6{}\n",
        "i 1 1234567890 0 5 6 {}\n",
        "i 1 1 0 1234567890123456 6 {}\n",
        "i\t1 1 0 5 6 {}\n",
        "\xc3\xbc 1 1 0 5 6 {}\n",
        "600.5",
    };
    struct record r = {.head = 77};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (record_parse(rows[i], strlen(rows[i]), &r) != -EINVAL || r.head != 77)
            fail_msg("'%s' is read", rows[i]);
    char long_id[JOB_ID_MAX + 20];
    memset(long_id, 'i', JOB_ID_MAX);
    (void)strcpy(long_id + JOB_ID_MAX, " 1 1 0 5 6 {}\n");
    assert_int_equal(record_parse(long_id, strlen(long_id), &r), -EINVAL);
    assert_int_equal(record_parse(long_id + 1, strlen(long_id) - 1, &r), 0);
}

static void *json_malloc(size_t n)
{
    return malloc(n); /* of this program, so that it may run out */
}

static void json_free(void *p)
{
    free(p);
}

static void without_memory_there_is_no_record(void **state)
{
    (void)state;
    json_malloc_t old_malloc;
    json_free_t old_free;
    json_get_alloc_funcs(&old_malloc, &old_free);
    json_set_alloc_funcs(json_malloc, json_free);
    unsigned n = 0;
    for (bool failed = true; failed;) {
        struct job *j = a_job("payload", 7, "why");
        oom_arm(++n);
        const char *record = record_head(j, "host");
        failed = oom_disarm();
        assert_true(record || failed); /* jansson may have another way: it is whole all the same */
        assert_true(!record || strstr(record, "\"instance\":\"host\"}\n"));
        (void)job_free(j);
    }
    json_set_alloc_funcs(old_malloc, old_free);
    assert_true(n > 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_head_is_one_line),
        cmocka_unit_test(any_reason_stays_one_line_of_json),
        cmocka_unit_test(a_repeat_writes_the_same_bytes),
        cmocka_unit_test(what_the_handler_left_is_evidence),
        cmocka_unit_test(how_long_it_ran_is_evidence_where_it_did),
        cmocka_unit_test(the_output_lies_with_a_dead_letter_alone),
        cmocka_unit_test(output_that_is_no_text_is_in_base64),
        cmocka_unit_test(what_was_written_is_read),
        cmocka_unit_test(the_payload_begins_behind_the_first_line),
        cmocka_unit_test(what_is_no_record_is_not_read),
        cmocka_unit_test(without_memory_there_is_no_record),
    };
    return cmocka_run_group_tests_name("record", tests, NULL, NULL);
}
