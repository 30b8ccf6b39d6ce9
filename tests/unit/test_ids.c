/* LDFLAGS: -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=strdup,--wrap=asprintf */
/* Ids that were seen: the second of two is found, in whatever round, and memory stays bounded. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "daemon/ids.h"
#include "tests/lib/oom.h"

static int put(struct ids *s, unsigned n, uint32_t where, struct id_place *ret_first)
{
    char id[32];
    int len = snprintf(id, sizeof id, "0a1b2c3d4e5f6071.%u-9-%u", n % 7, n);
    return ids_put(s, id, (size_t)len, (struct id_place){where, n}, ret_first);
}

static void the_first_place_of_an_id_is_told(void **state)
{
    (void)state;
    struct ids *s = ids_new(1 << 10);
    struct id_place first = {0};
    assert_non_null(s);
    assert_int_equal(put(s, 1, 5, &first), 0);
    assert_int_equal(put(s, 2, 6, &first), 0);
    assert_int_equal(put(s, 1, 7, &first), 1);
    assert_int_equal(first.where, 5);
    assert_true(first.at == 1);
    assert_int_equal(put(s, 1, 8, &first), 1);
    assert_int_equal(first.where, 5);
    assert_int_equal(ids_put(s, "", 0, (struct id_place){9, 0}, &first), 0);
    assert_int_equal(ids_put(s, "", 0, (struct id_place){9, 0}, &first), 1);
    assert_false(ids_next_round(s)); /* all had room */
    assert_int_equal(put(s, 1, 5, &first), 0);
    (void)ids_free(s);
}

/* All ids twice, in as many rounds as it takes: each pair is found once. */
static unsigned pairs(struct ids *s, unsigned n, unsigned *ret_rounds)
{
    unsigned found = 0;
    *ret_rounds = 0;
    do {
        for (unsigned i = 0; i < 2 * n; i++) {
            struct id_place first;
            int r = put(s, i % n, i, &first);
            assert_true(r >= 0);
            found += r == 1;
            if (r == 1)
                assert_int_equal(first.where, i % n);
        }
        ++*ret_rounds;
    } while (ids_next_round(s));
    return found;
}

static void more_than_there_is_room_for_takes_rounds(void **state)
{
    (void)state;
    unsigned rounds;
    struct ids *s = ids_new(1 << 12); /* slots */
    assert_non_null(s);
    assert_int_equal(pairs(s, 1 << 11, &rounds), 1 << 11);
    assert_int_equal(rounds, 1);
    assert_int_equal(pairs(s, 20000, &rounds), 20000);
    assert_in_range(rounds, 20000 / (3 << 10), 20000 / (1 << 10));
    assert_int_equal(pairs(s, 10, &rounds), 10); /* it begins anew */
    assert_int_equal(rounds, 1);
    (void)ids_free(s);
}

static void without_memory_to_grow_there_are_more_rounds(void **state)
{
    (void)state;
    unsigned rounds;
    struct ids *s = ids_new(1 << 20);
    assert_non_null(s);
    oom_arm(1);
    assert_int_equal(pairs(s, 5000, &rounds), 5000);
    assert_true(oom_disarm());
    assert_in_range(rounds, 2, 99);
    (void)ids_free(s);
}

static void without_any_it_says_so(void **state)
{
    (void)state;
    struct id_place first;
    unsigned i = 0;
    int r = 0;
    for (unsigned n = 1; n < 3; n++) {
        oom_arm(n);
        assert_null(ids_new(1 << 20));
        assert_true(oom_disarm());
    }
    struct ids *s = ids_new(1 << 20);
    assert_non_null(s);
    oom_arm_all(1, true);
    while (r == 0 && i < 100000)
        r = put(s, i++, 0, &first);
    assert_true(oom_disarm());
    assert_int_equal(r, -ENOMEM);
    (void)ids_free(s);
    assert_null(ids_free(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_place_of_an_id_is_told),
        cmocka_unit_test(more_than_there_is_room_for_takes_rounds),
        cmocka_unit_test(without_memory_to_grow_there_are_more_rounds),
        cmocka_unit_test(without_any_it_says_so),
    };
    return cmocka_run_group_tests_name("ids", tests, NULL, NULL);
}
