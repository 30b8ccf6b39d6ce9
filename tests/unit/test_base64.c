/* LDFLAGS: -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=strdup,--wrap=asprintf */
/* Bytes as text: the vectors of RFC 4648, all bytes, no memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "common/base64.h"
#include "tests/lib/oom.h"

static void the_vectors_of_the_rfc(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"},
        {"\xfb\xef\xff", "++//"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *text = base64_encode(rows[i][0], strlen(rows[i][0]));
        assert_non_null(text);
        assert_string_equal(text, rows[i][1]);
        free(text);
    }
}

static void no_memory_is_told_by_null(void **state)
{
    (void)state;
    assert_null(base64_encode("x", SIZE_MAX));
    oom_arm(1);
    char *text = base64_encode("x", 1);
    assert_true(oom_disarm());
    assert_null(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_vectors_of_the_rfc),
        cmocka_unit_test(no_memory_is_told_by_null),
    };
    return cmocka_run_group_tests_name("base64", tests, NULL, NULL);
}
