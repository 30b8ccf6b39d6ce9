/* The names that are tracked: every one is found, and nothing else is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/tracking.h"

#define MANY 3000

static char names[MANY][24];
static struct tracked_key keys[MANY];

static int begin(void **state)
{
    (void)state;
    for (unsigned i = 0; i < MANY; i++) {
        (void)snprintf(names[i], sizeof names[i], "%s%u", i % 3 ? "rpopd:{q}:" : "q",
                       i * 7919 % MANY);
        keys[i] = (struct tracked_key){
            .name = names[i], .queue = (struct queue *)names[i], .what = TRACKED_LIST};
    }
    tracked_sort(keys, MANY);
    return 0;
}

static const void *found(const char *name, size_t len)
{
    const struct tracked_key *k = tracked_find(keys, MANY, name, len);
    return k ? k->queue : NULL;
}

static void every_name_is_found(void **state)
{
    (void)state;
    for (unsigned i = 0; i < MANY; i++)
        assert_ptr_equal(found(names[i], strlen(names[i])), names[i]);
}

static void a_beginning_a_longer_name_and_a_name_with_a_nul_are_not(void **state)
{
    (void)state;
    assert_non_null(found("q3", 2));
    assert_null(found("q3", 1));
    assert_null(found("q3\0", 3));
    assert_null(found("q\0"
                      "3",
                      3));
    assert_null(found("q30000", 6));
    assert_null(found("", 0));
    assert_null(found("\xff", 1));
    assert_null(found("zzz", 3));
}

static void without_names_nothing_is_found(void **state)
{
    (void)state;
    assert_null(tracked_find(keys, 0, "q3", 2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_name_is_found),
        cmocka_unit_test(a_beginning_a_longer_name_and_a_name_with_a_nul_are_not),
        cmocka_unit_test(without_names_nothing_is_found),
    };
    return cmocka_run_group_tests_name("tracking", tests, begin, NULL);
}
