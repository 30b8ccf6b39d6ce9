#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "worker/runtime/coro.h"
#include "worker/runtime/error.h"
#include "worker/runtime/run.h"
#include "worker/runtime/task.h"

static int count_up(void *arg, void **ret_result, struct err *e)
{
    int *n = arg;
    for (int i = 0; i < 3; i++) {
        ++*n;
        int r = coro_yield(e);
        if (r < 0)
            return r;
    }
    *ret_result = n;
    return 0;
}

static void an_object_is_inert_until_it_is_resumed(void **state)
{
    int n = 0;
    (void)state;
    struct coro *c = coro_new(count_up, &n);
    assert_int_equal(n, 0);
    coro_free(c);
    assert_int_equal(n, 0);
}

static void an_object_goes_on_where_it_stood(void **state)
{
    int n = 0;
    void *result = NULL;
    (void)state;
    struct coro *c = coro_new(count_up, &n);
    for (int i = 1; i <= 3; i++) {
        assert_int_equal(coro_resume(c, &result, NULL), 1);
        assert_int_equal(n, i);
    }
    assert_int_equal(coro_resume(c, &result, NULL), 0);
    assert_ptr_equal(result, &n);
    assert_int_equal(coro_resume(c, &result, NULL), ERROR_REUSED);
    coro_free(c);
}

static int fails(void *arg, void **ret_result, struct err *e)
{
    (void)arg, (void)ret_result;
    return err_set(e, -EINVAL, "no %d", 7);
}

static void an_error_comes_out_of_the_last_resume(void **state)
{
    struct err e = {.code = 0};
    (void)state;
    struct coro *c = coro_new(fails, NULL);
    assert_int_equal(coro_resume(c, NULL, &e), -EINVAL);
    assert_string_equal(e.text, "no 7");
    coro_free(c);
}

static int waits_in_a_task(void *arg, void **ret_result, struct err *e)
{
    (void)e;
    int r = task_sleep(0);
    *ret_result = arg;
    return r;
}

struct wrapped {
    int first, second, await_after;
    void *result;
};

static int wrap_main(void *arg, void **ret_result, struct err *e)
{
    struct wrapped *w = arg;
    (void)ret_result;
    struct coro *c = coro_new(waits_in_a_task, w);
    struct task *t = task_wrap(c, "wrapped");
    w->first = task_await(t, &w->result, e);
    task_unref(t);
    w->second = task_wrap(c, "again") ? 0 : -errno;
    w->await_after = coro_await(c, NULL, e);
    coro_free(c);
    return 0;
}

static void a_wrapped_object_runs_as_a_task_once(void **state)
{
    struct wrapped w = {.first = 1};
    (void)state;
    assert_int_equal(run(wrap_main, &w, NULL, NULL), 0);
    assert_int_equal(w.first, 0);
    assert_ptr_equal(w.result, &w);
    assert_int_equal(w.second, ERROR_REUSED);
    assert_int_equal(w.await_after, ERROR_REUSED);
}

struct printed {
    char text[64];
    int code;
};

static int format_in_a_task(void *arg, void **ret_result, struct err *e)
{
    struct printed *p = arg;
    struct err own;
    (void)ret_result, (void)e;
    p->code = err_set(&own, -EINVAL, "%s %.3f", "formatted", 1.5);
    (void)memcpy(p->text, own.text, sizeof p->text);
    return 0;
}

static void errors_are_formatted_inside_a_task(void **state)
{
    struct printed p = {.code = 0};
    (void)state;
    assert_int_equal(run(format_in_a_task, &p, NULL, NULL), 0);
    assert_int_equal(p.code, -EINVAL);
    assert_string_equal(p.text, "formatted 1.500");
}

static void every_code_has_asyncios_name(void **state)
{
    (void)state;
    assert_string_equal(error_kind(-ECANCELED), "CancelledError");
    assert_string_equal(error_kind(-ETIMEDOUT), "TimeoutError");
    assert_string_equal(error_kind(-EINVAL), "ValueError");
    assert_string_equal(error_kind(-ENOENT), "OSError");
    assert_string_equal(error_kind(ERROR_CLOSED), "RuntimeError");
    assert_string_equal(error_sentence(ERROR_CLOSED), "Event loop is closed");
    assert_string_equal(error_sentence(-ENOENT), "No such file or directory");
    assert_string_equal(error_sentence(-9999), "unknown error");
}

static void an_error_keeps_its_cause(void **state)
{
    (void)state;
    struct error *x = error_new(-ETIMEDOUT, "late", error_new(-ECANCELED, "", NULL));
    assert_int_equal(error_code(x), -ETIMEDOUT);
    assert_string_equal(error_text(x), "late");
    assert_int_equal(error_code(error_cause(x)), -ECANCELED);
    assert_int_equal(error_code(NULL), 0);
    error_unref(error_ref(x));
    error_unref(x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_object_is_inert_until_it_is_resumed),
        cmocka_unit_test(an_object_goes_on_where_it_stood),
        cmocka_unit_test(an_error_comes_out_of_the_last_resume),
        cmocka_unit_test(a_wrapped_object_runs_as_a_task_once),
        cmocka_unit_test(errors_are_formatted_inside_a_task),
        cmocka_unit_test(every_code_has_asyncios_name),
        cmocka_unit_test(an_error_keeps_its_cause),
    };
    return cmocka_run_group_tests_name("coro", tests, NULL, NULL);
}
