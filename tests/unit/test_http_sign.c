/* The signature of a payload: known answers, pieces, a cancelled one. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "worker/handler/http_sign.h"
#include "worker/runtime/run.h"
#include "worker/runtime/task.h"

/* RFC 4231. */
static void known_answers(void **state)
{
    (void)state;
    static const struct {
        const char *key, *text, *sum;
    } rows[] = {
        {"\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b",
         "Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
        {"Jefe", "what do ya want for nothing?",
         "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
    };
    char out[SIGN_HEX];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct sign_key *k = sign_key_new(rows[i].key);
        assert_non_null(k);
        for (int again = 0; again < 2; again++) { /* the key is not used up */
            assert_int_equal(sign_hex(k, rows[i].text, strlen(rows[i].text), out), 0);
            assert_string_equal(out, rows[i].sum);
        }
        assert_null(sign_key_free(k));
    }
    assert_null(sign_key_free(NULL));
}

static void bytes_are_bytes(void **state)
{
    (void)state;
    char out[SIGN_HEX];
    struct sign_key *k = sign_key_new("key");
    assert_int_equal(sign_hex(k, "", 0, out), 0);
    assert_string_equal(out, "5d5d139563c95b5967b9bd9a8c9b233a9dedb45072794cd232dc1b74832607d0");
    assert_int_equal(sign_hex(k, "a\0b", 3, out), 0);
    assert_string_equal(out, "29c5f0eea2d0a51b661193b3a56191192b2861f543ea0499a7f9725f7e7062fc");
    (void)sign_key_free(k);
}

struct long_one {
    struct sign_key *key;
    char *bytes;
    size_t len;
    char out[SIGN_HEX];
    int code, turns_of_another;
    bool ended;
};

static int sign_it(void *arg, void **ret_result, struct err *e)
{
    (void)ret_result, (void)e;
    struct long_one *s = arg;
    s->code = sign_hex(s->key, s->bytes, s->len, s->out);
    s->ended = true;
    return s->code;
}

static int run_beside(void *arg, void **ret_result, struct err *e)
{
    (void)ret_result;
    struct long_one *s = arg;
    struct task *t = task_create(sign_it, s, NULL);
    while (!s->ended) {
        s->turns_of_another++;
        (void)task_sleep(0);
    }
    int r = task_await(t, NULL, e);
    task_unref(t);
    return r;
}

static int cancel_it(void *arg, void **ret_result, struct err *e)
{
    (void)ret_result;
    struct task *t = task_create(sign_it, arg, NULL);
    (void)task_sleep(0);
    (void)task_cancel(t);
    (void)task_await(t, NULL, e);
    task_unref(t);
    return 0;
}

static struct long_one begin(void)
{
    struct long_one s = {.key = sign_key_new("key"), .len = 8 * SIGN_PIECE + 1};
    assert_non_null(s.key);
    s.bytes = calloc(1, s.len);
    assert_non_null(s.bytes);
    return s;
}

static void end(struct long_one *s)
{
    free(s->bytes);
    (void)sign_key_free(s->key);
}

static void a_long_payload_lets_others_run(void **state)
{
    (void)state;
    struct long_one s = begin();
    assert_int_equal(run(run_beside, &s, NULL, NULL), 0);
    assert_true(s.turns_of_another >= 8);
    assert_string_equal(s.out, "980e480e5108b31963633dd7c2f1d5af9a39589d643abcaa868ff3c9a814e90d");
    end(&s);
}

static void a_cancelled_one_ends(void **state)
{
    (void)state;
    struct long_one s = begin();
    assert_int_equal(run(cancel_it, &s, NULL, NULL), 0);
    assert_int_equal(s.code, -ECANCELED);
    end(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_answers),
        cmocka_unit_test(bytes_are_bytes),
        cmocka_unit_test(a_long_payload_lets_others_run),
        cmocka_unit_test(a_cancelled_one_ends),
    };
    return cmocka_run_group_tests_name("http_sign", tests, NULL, NULL);
}
