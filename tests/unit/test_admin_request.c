/* Requests to the admin socket: what is understood, and the sentences of what is not. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/admin_request.h"

static int parse(const char *text, struct admin_request *r, struct err *e)
{
    return admin_request_parse(text, strlen(text), r, e);
}

static void refused(const char *text, const char *sentence)
{
    struct admin_request r;
    struct err e = {0};
    assert_int_equal(parse(text, &r, &e), -EINVAL);
    if (!strstr(e.text, sentence))
        fail_msg("%s: '%s' does not say '%s'", text, e.text, sentence);
}

static void a_command_without_fields_is_understood(void **state)
{
    (void)state;
    struct admin_request r;
    struct err e = {0};
    assert_int_equal(parse("{\"command\":\"status\"}", &r, &e), 0);
    assert_int_equal(r.command, ADMIN_STATUS);
    assert_string_equal(r.queue, "");
    assert_string_equal(r.id, "");
    assert_int_equal(r.limit, 0);
    assert_false(r.all || r.repair);
    admin_request_clear(&r);
    assert_null(r.json);
}

static void an_id_is_taken(void **state)
{
    (void)state;
    struct admin_request r;
    struct err e = {0};
    assert_int_equal(parse(" { \"id\" : \"ab.1-r2-3\", \"command\" : \"cancel\" } ", &r, &e), 0);
    assert_int_equal(r.command, ADMIN_CANCEL);
    assert_string_equal(r.id, "ab.1-r2-3");
    admin_request_clear(&r);
}

static void all_fields_are_taken(void **state)
{
    (void)state;
    struct admin_request r;
    struct err e = {0};
    assert_int_equal(parse("{\"command\":\"dead-retry\",\"queue\":\"\\u00e9 x\",\"all\":true,"
                           "\"limit\":1000000}",
                           &r, &e),
                     0);
    assert_int_equal(r.command, ADMIN_DEAD_RETRY);
    assert_string_equal(r.queue, "\xc3\xa9 x");
    assert_int_equal(r.limit, 1000000);
    assert_true(r.all);
    admin_request_clear(&r);
}

static void what_is_no_object_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {"",
                                        "{",
                                        "[]",
                                        "1",
                                        "\"status\"",
                                        "null",
                                        "{}{}",
                                        "{\"command\":\"status\",\"command\":\"jobs\"}",
                                        "{\"command\":\"st\\u0000\"}",
                                        "{\"a\":\xff}"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        refused(texts[i], "no JSON object in one line");
    refused("{\"a\": x}", "wrong at byte 7");
}

static void a_request_that_is_too_long_is_refused(void **state)
{
    (void)state;
    struct admin_request r;
    struct err e = {0};
    char *text = malloc(ADMIN_REQUEST_MAX + 1);
    assert_non_null(text);
    memset(text, ' ', ADMIN_REQUEST_MAX + 1);
    memcpy(text, "{\"command\":\"jobs\"}", 18);
    assert_int_equal(admin_request_parse(text, ADMIN_REQUEST_MAX, &r, &e), 0);
    admin_request_clear(&r);
    assert_int_equal(admin_request_parse(text, ADMIN_REQUEST_MAX + 1, &r, &e), -EINVAL);
    assert_non_null(strstr(e.text, "allowed are 1048576"));
    free(text);
}

static void deep_nesting_is_refused(void **state)
{
    (void)state;
    char *text = malloc(200001);
    assert_non_null(text);
    memset(text, '[', 200000);
    text[200000] = '\0';
    refused(text, "no JSON object");
    free(text);
}

static void the_command_must_be_one(void **state)
{
    (void)state;
    refused("{}", "\"command\" is missing or no string, allowed are status, jobs, cancel");
    refused("{\"command\":7}", "\"command\" is missing or no string");
    refused("{\"command\":\"Status\"}", "'Status' is no command, allowed are status, jobs");
    refused("{\"command\":\"a\\nb\"}", "'a\\nb' is no command");
}

static void fields_are_checked(void **state)
{
    (void)state;
    refused("{\"command\":\"status\",\"queue\":\"q\"}", "status does not take 'queue'");
    refused("{\"command\":\"status\",\"Id\":\"q\"}", "status does not take 'Id'");
    refused("{\"command\":\"cancel\"}", "cancel needs \"id\"");
    refused("{\"command\":\"cancel\",\"id\":\"\"}", "\"id\" is no text");
    refused("{\"command\":\"cancel\",\"id\":5}", "\"id\" is no text");
    refused("{\"command\":\"cancel\",\"id\":\"a*\"}", "id 'a*' is no job's id, allowed are");
    refused("{\"command\":\"cancel\",\"id\":\"a b\"}", "id 'a b' is no job's id");
    refused("{\"command\":\"dead-list\"}", "dead-list needs \"queue\"");
    refused("{\"command\":\"dead-list\",\"queue\":\"q\",\"limit\":0}", "from 1 to 1000000");
    refused("{\"command\":\"dead-list\",\"queue\":\"q\",\"limit\":1000001}", "from 1 to 1000000");
    refused("{\"command\":\"dead-list\",\"queue\":\"q\",\"limit\":1.5}", "from 1 to 1000000");
    refused("{\"command\":\"dead-drop\",\"queue\":\"q\"}", "needs either \"id\" or \"all\"");
    refused("{\"command\":\"dead-drop\",\"queue\":\"q\",\"all\":false}", "needs either");
    refused("{\"command\":\"dead-drop\",\"queue\":\"q\",\"all\":1}", "is no boolean");
    refused("{\"command\":\"dead-drop\",\"queue\":\"q\",\"all\":true,\"id\":\"a\"}",
            "needs either");
}

static void an_id_has_at_most_95_bytes(void **state)
{
    (void)state;
    struct admin_request r;
    struct err e = {0};
    char text[200] = "{\"command\":\"cancel\",\"id\":\"", *end = text + strlen(text);
    memset(end, 'a', 95);
    (void)strcpy(end + 95, "\"}");
    assert_int_equal(parse(text, &r, &e), 0);
    admin_request_clear(&r);
    (void)strcpy(end + 95, "a\"}");
    refused(text, "allowed are 1 to 95");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_command_without_fields_is_understood),
        cmocka_unit_test(an_id_is_taken),
        cmocka_unit_test(all_fields_are_taken),
        cmocka_unit_test(what_is_no_object_is_refused),
        cmocka_unit_test(a_request_that_is_too_long_is_refused),
        cmocka_unit_test(deep_nesting_is_refused),
        cmocka_unit_test(the_command_must_be_one),
        cmocka_unit_test(fields_are_checked),
        cmocka_unit_test(an_id_has_at_most_95_bytes),
    };
    return cmocka_run_group_tests_name("admin_request", tests, NULL, NULL);
}
