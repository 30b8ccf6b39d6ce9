/* shaken.h - what a test does to the clocks and the memory of build/tests/e2e/rpopd-shaken, which
 * is the daemon as it is, linked with clocks and allocations of its own (shaken/). The two share a
 * file, named to the daemon by $RPOPD_SHAKEN. Runs on: the test's only thread; the daemon's any.
 * Units: milliseconds where no other is named. */
#ifndef TESTS_E2E_SHAKEN_H
#define TESTS_E2E_SHAKEN_H

#include <stdatomic.h>
#include <stdint.h>

struct daemon;

/* All its clocks: real time, and so many nanoseconds, and since then so many times as fast. */
struct shaken_pace {
    int64_t ahead_ns, since_ns; /* of the real CLOCK_MONOTONIC */
    int64_t times;
};

struct shaken {
    struct shaken_pace pace[64];
    _Atomic unsigned now;      /* the pace that holds */
    _Atomic int64_t wall_ms;   /* CLOCK_REALTIME is ahead of the others' pace by this */
    _Atomic int64_t boot_ms;   /* likewise CLOCK_BOOTTIME: it slept */
    _Atomic unsigned one_in;   /* of so many allocations one fails; 0: none */
    _Atomic unsigned failures; /* so many have failed */
};

/* Gives what this daemon is shaken by from its next start on; at first by nothing. */
struct shaken *shaken_new(struct daemon *d, const char *folder, const char *name);
struct shaken *shaken_free(struct shaken *k); /* takes; NULL is fine; returns NULL */

/* cmocka fixtures: a durable scene whose daemon is shaken by `shaken`. */
extern struct shaken *shaken;
int scene_new_shaken(void **state);
int scene_free_shaken(void **state);

#define SHAKEN(test) cmocka_unit_test_setup_teardown(test, scene_new_shaken, scene_free_shaken)

/* From now on its time goes so many times as fast; 1: as it does. */
void shaken_pace(struct shaken *k, int64_t times);
int64_t shaken_now_ms(const struct shaken *k); /* its CLOCK_MONOTONIC */

/* Both sides: how far ahead its clocks are when the real one says so. */
static inline int64_t shaken_ahead_ns(const struct shaken *k, int64_t real_ns)
{
    const struct shaken_pace *p = &k->pace[atomic_load(&k->now) % 64];
    return p->ahead_ns + (real_ns - p->since_ns) * (p->times - 1);
}

#endif
