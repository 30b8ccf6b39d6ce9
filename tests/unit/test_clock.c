/* LDFLAGS: -Wl,--wrap=clock_gettime */
/* The clocks: which one each function reads, and in which unit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>
#include <cmocka.h>

#include "common/clock.h"

static bool fake;

int __real_clock_gettime(clockid_t id, struct timespec *t);
int __wrap_clock_gettime(clockid_t id, struct timespec *t);

/* A time of its own for every clock: 5,000,000,000 s and more, so that 32 bits are too few. */
int __wrap_clock_gettime(clockid_t id, struct timespec *t)
{
    if (!fake)
        return __real_clock_gettime(id, t);
    *t = (struct timespec){.tv_sec = 5000000000 + id, .tv_nsec = 123999999};
    return 0;
}

static void each_function_reads_its_clock_in_its_unit(void **state)
{
    (void)state;
    fake = true;
    int64_t ms = clock_now_ms(), ns = clock_now_ns(), boot = clock_boot_ms(),
            wall = clock_wall_ms();
    fake = false;
    assert_int_equal(ms, (5000000000 + CLOCK_MONOTONIC) * 1000 + 123);
    assert_int_equal(ns, (5000000000 + CLOCK_MONOTONIC) * 1000000000 + 123999999);
    assert_int_equal(boot, (5000000000 + CLOCK_BOOTTIME) * 1000 + 123);
    assert_int_equal(wall, (5000000000 + CLOCK_REALTIME) * 1000 + 123);
}

static void the_real_clocks_do_not_go_back(void **state)
{
    (void)state;
    int64_t ms = clock_now_ms(), ns = clock_now_ns(), boot = clock_boot_ms();
    for (int i = 0; i < 10000; i++) {
        int64_t ms2 = clock_now_ms(), ns2 = clock_now_ns(), boot2 = clock_boot_ms();
        assert_true(ms2 >= ms && ns2 >= ns && boot2 >= boot);
        assert_true(ns2 / 1000000 >= ms2);
        ms = ms2;
        ns = ns2;
        boot = boot2;
    }
    assert_true(ms > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_function_reads_its_clock_in_its_unit),
        cmocka_unit_test(the_real_clocks_do_not_go_back),
    };
    return cmocka_run_group_tests_name("clock", tests, NULL, NULL);
}
