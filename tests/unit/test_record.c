/* LDFLAGS: -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=strdup,--wrap=asprintf */
/* A job as a dead letter: the head, the evidence, the payload; the same bytes at each repeat. */
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

static const struct conf_queue conf = {.name = (char *)"q"};

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

/* A record has a length and no NUL: takes it, gives the same with one. */
static char *with_nul(char *record, const size_t *len)
{
    char *text = record ? test_malloc(*len + 1) : NULL;
    if (text) {
        memcpy(text, record, *len);
        text[*len] = '\0';
    }
    free(record);
    return text;
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
    size_t len;
    int64_t before = clock_wall_ms();
    struct job *j = a_job("x", 1, given);
    char *record = with_nul(record_of(j, "host", &len), &len);
    assert_non_null(record);
    json_t *o = json_loads(evidence_of(record, before), JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(o);
    assert_string_equal(json_string_value(json_object_get(o, "reason")), want);
    assert_string_equal(json_string_value(json_object_get(o, "instance")), "host");
    json_decref(o);
    test_free(record);
    (void)job_free(j);
}

static void a_record_is_one_line_and_the_payload(void **state)
{
    (void)state;
    size_t len;
    int64_t before = clock_wall_ms();
    struct job *j = a_job("a\0\nb", 4, "no number");
    char *record = with_nul(record_of(j, "host-1", &len), &len);
    assert_non_null(record);
    assert_string_equal(evidence_of(record, before),
                        "{\"reason\":\"no number\",\"instance\":\"host-1\"}");
    size_t head = (size_t)(strchr(record, '\n') + 1 - record);
    assert_int_equal(len, head + 4);
    assert_memory_equal(record + head, "a\0\nb", 4);
    test_free(record);
    (void)job_free(j);
}

static void an_empty_payload_leaves_the_head(void **state)
{
    (void)state;
    size_t len;
    struct job *j = a_job("", 0, "why");
    char *record = with_nul(record_of(j, "host", &len), &len);
    assert_non_null(record);
    assert_int_equal(record[len - 1], '\n');
    assert_ptr_equal(memchr(record, '\n', len), record + len - 1);
    test_free(record);
    (void)job_free(j);
}

static void of_a_large_job_the_record_is_the_head_alone(void **state)
{
    (void)state;
    size_t len;
    struct job *j = a_job(NULL, (size_t)1 << 40, "over max_payload");
    char *record = with_nul(record_of(j, "host", &len), &len);
    assert_non_null(record);
    assert_true(len < 200);
    assert_int_equal(record[len - 1], '\n');
    test_free(record);
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
    size_t len, again_len;
    struct job *j = a_job("payload", 7, "why");
    char *record = record_of(j, "host", &len);
    assert_non_null(record);
    for (int64_t end = clock_wall_ms() + 3; clock_wall_ms() < end;)
        ;
    char *again = record_of(j, "host", &again_len);
    assert_non_null(again);
    assert_int_equal(len, again_len);
    assert_memory_equal(record, again, len);
    free(record);
    free(again);
    (void)job_free(j);
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
    char *record = NULL;
    unsigned n = 0;
    while (!record) {
        size_t len = 77;
        struct job *j = a_job("payload", 7, "why");
        oom_arm(++n);
        record = record_of(j, "host", &len);
        bool failed = oom_disarm();
        assert_true(record || (failed && len == 77));
        record = with_nul(record, &len);
        if (record && failed) { /* jansson had another way: it is a whole record all the same */
            assert_non_null(strstr(record, "\"instance\":\"host\"}\npayload"));
            test_free(record);
            record = NULL;
        }
        (void)job_free(j);
    }
    json_set_alloc_funcs(old_malloc, old_free);
    assert_true(n > 3);
    assert_non_null(strstr(record, "{\"reason\":\"why\",\"instance\":\"host\"}\npayload"));
    test_free(record);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_is_one_line_and_the_payload),
        cmocka_unit_test(an_empty_payload_leaves_the_head),
        cmocka_unit_test(of_a_large_job_the_record_is_the_head_alone),
        cmocka_unit_test(any_reason_stays_one_line_of_json),
        cmocka_unit_test(a_repeat_writes_the_same_bytes),
        cmocka_unit_test(without_memory_there_is_no_record),
    };
    return cmocka_run_group_tests_name("record", tests, NULL, NULL);
}
