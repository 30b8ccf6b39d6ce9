/* What a child of a pool is told, and which of its answers are taken. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "worker/handler/pool_frame.h"

static struct conf_queue conf = {.max_payload = 1000};

static struct job *job_of(const char *queue)
{
    conf.name = (char *)(uintptr_t)queue;
    struct job *j = job_new(&conf, "payload", 7);
    assert_non_null(j);
    j->birth = "vm-1-1";
    j->attempt = 3;
    return j;
}

static void assert_request(const char *queue, int64_t deadline_ms, const char *expected)
{
    struct job *j = job_of(queue);
    size_t len = 0;
    char *line = pool_frame_request(j, deadline_ms, &len);
    assert_non_null(line);
    assert_string_equal(line, expected);
    assert_int_equal(len, strlen(expected));
    free(line);
    (void)job_free(j);
}

static void a_request_is_a_line_that_tells_of_the_job(void **state)
{
    (void)state;
    assert_request("mail", 1700000000123,
                   "{\"id\":\"vm-1-1-0\",\"queue\":\"mail\",\"attempt\":3,"
                   "\"deadline\":1700000000123,\"len\":7}\n");
}

static void without_a_time_limit_the_deadline_is_null(void **state)
{
    (void)state;
    assert_request("mail", 0,
                   "{\"id\":\"vm-1-1-0\",\"queue\":\"mail\",\"attempt\":3,\"deadline\":null,"
                   "\"len\":7}\n");
}

static void any_queue_name_stays_one_line_of_ascii(void **state)
{
    (void)state;
    assert_request("a\"\n\\\xc3\xa4\xff", 0,
                   "{\"id\":\"vm-1-1-0\",\"queue\":\"a\\\"\\n\\\\\\u00E4\\uFFFD\",\"attempt\":3,"
                   "\"deadline\":null,\"len\":7}\n");
}

static struct pool_frame_answer answer;
static struct err why;

static int read_bytes(const char *line, size_t len)
{
    struct job *j = job_of("mail");
    answer = (struct pool_frame_answer){0};
    why = (struct err){0};
    int r = pool_frame_answer(j, line, len, &answer, &why);
    (void)job_free(j);
    return r;
}

static int read_line(const char *line)
{
    return read_bytes(line, strlen(line));
}

#define ANSWER(rest) "{\"id\":\"vm-1-1-0\"," rest "}\n"

static void done_with_a_result(void **state)
{
    (void)state;
    assert_int_equal(read_line(ANSWER("\"status\":\"done\",\"len\":1000")), 0);
    assert_int_equal(answer.outcome, JOB_DONE);
    assert_int_equal(answer.len, 1000);
    assert_int_equal(answer.delay_ms, -1);
    assert_string_equal(answer.error, "");
}

static void what_is_left_out_or_null_has_its_default(void **state)
{
    (void)state;
    assert_int_equal(read_line(ANSWER("\"status\":\"dead\",\"len\":null,\"error\":null,"
                                      "\"delay\":null,\"more\":[{}]")),
                     0);
    assert_int_equal(answer.outcome, JOB_DEAD);
    assert_int_equal(answer.len, 0);
    assert_int_equal(answer.delay_ms, -1);
}

static void retry_with_an_error_and_a_delay(void **state)
{
    (void)state;
    assert_int_equal(
        read_line(ANSWER("\"status\":\"retry\",\"error\":\"no\\nroom\",\"delay\":1.5")), 0);
    assert_int_equal(answer.outcome, JOB_RETRY);
    assert_int_equal(answer.delay_ms, 1500);
    assert_string_equal(answer.error, "no room");
    assert_int_equal(read_line(ANSWER("\"status\":\"retry\",\"delay\":0")), 0);
    assert_int_equal(answer.delay_ms, 0);
}

static void a_long_error_is_cut_behind_a_whole_character(void **state)
{
    (void)state;
    char line[2000] = "{\"id\":\"vm-1-1-0\",\"status\":\"dead\",\"error\":\"",
         *p = line + strlen(line);
    for (int i = 0; i < 400; i++)
        p = stpcpy(p, "\xc3\xa4");
    (void)stpcpy(p, "\"}");
    assert_int_equal(read_line(line), 0);
    assert_int_equal(strlen(answer.error), ERR_TEXT_MAX - 2); /* two bytes each, and a NUL */
}

static void what_is_wrong_is_said(void **state)
{
    (void)state;
    static const struct {
        const char *line, *sentence;
    } wrong[] = {
        {"Hello\n", "it wrote 'Hello\\n', which is no JSON object"},
        {"\n", "it wrote '\\n', which is no JSON object"},
        {"[]\n", "it wrote '[]\\n', which is no JSON object"},
        {ANSWER("\"status\":\"done\"") "x", "which is no JSON object"},
        {ANSWER("\"status\":\"done\",\"status\":\"dead\""), "which is no JSON object"},
        {"{\"status\":\"done\"}", "the id of its answer is missing"},
        {"{\"id\":7,\"status\":\"done\"}", "the id of its answer is 7,"},
        {"{\"id\":\"vm-1-1-1\",\"status\":\"done\"}", "the id of its answer is \"vm-1-1-1\", and"},
        {ANSWER("\"len\":0"), "the status of its answer is missing"},
        {ANSWER("\"status\":\"ok\""), "the status of its answer is \"ok\", allowed are"},
        {ANSWER("\"status\":1"), "the status of its answer is 1, allowed are"},
        {ANSWER("\"status\":\"done\",\"len\":-1"), "the len of its answer is -1, allowed is"},
        {ANSWER("\"status\":\"done\",\"len\":1001"), "the len of its answer is 1001, allowed is"},
        {ANSWER("\"status\":\"done\",\"len\":1.5"), "the len of its answer is 1.5, allowed is"},
        {ANSWER("\"status\":\"done\",\"len\":\"1\""), "the len of its answer is \"1\", allowed is"},
        {ANSWER("\"status\":\"done\",\"len\":99999999999999999999"), "which is no JSON object"},
        {ANSWER("\"status\":\"retry\",\"delay\":-1"), "the delay of its answer is -1, allowed is"},
        {ANSWER("\"status\":\"retry\",\"delay\":1e9"), "the delay of its answer is 1"},
        {ANSWER("\"status\":\"retry\",\"delay\":\"1\""), "the delay of its answer is \"1\","},
        {ANSWER("\"status\":\"dead\",\"error\":1"),
         "the error of its answer is 1, allowed is text"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(read_line(wrong[i].line), -EPROTO);
        assert_non_null(strstr(why.text, wrong[i].sentence));
        assert_int_equal(answer.outcome, JOB_NONE);
    }
    assert_int_equal(read_bytes("{\"id\":\"vm\0", 10), -EPROTO);
    assert_int_equal(read_bytes("\xff\xfe", 2), -EPROTO);
}

static void deep_nesting_is_no_way_in(void **state)
{
    (void)state;
    char *line = malloc(POOL_FRAME_LINE_MAX);
    assert_non_null(line);
    memset(line, '[', POOL_FRAME_LINE_MAX);
    assert_int_equal(read_bytes(line, POOL_FRAME_LINE_MAX), -EPROTO);
    free(line);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_is_a_line_that_tells_of_the_job),
        cmocka_unit_test(without_a_time_limit_the_deadline_is_null),
        cmocka_unit_test(any_queue_name_stays_one_line_of_ascii),
        cmocka_unit_test(done_with_a_result),
        cmocka_unit_test(what_is_left_out_or_null_has_its_default),
        cmocka_unit_test(retry_with_an_error_and_a_delay),
        cmocka_unit_test(a_long_error_is_cut_behind_a_whole_character),
        cmocka_unit_test(what_is_wrong_is_said),
        cmocka_unit_test(deep_nesting_is_no_way_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
