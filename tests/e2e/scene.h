/* scene.h - the stage of an end-to-end test: a folder, a private redis-server, the daemon, and ways
 * to look at both from outside. Runs on: the test's only thread. Never awaits; waits poll a
 * condition with a limit. Errors: end the test by cmocka, after the end of the daemon's log was
 * shown. Units: milliseconds. All of it is stopped and removed by scene_free, which runs when a
 * test fails too; E2E_KEEP=1 keeps the folder, E2E_LONG=1 asks for the long forms. */
#ifndef TESTS_E2E_SCENE_H
#define TESTS_E2E_SCENE_H

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"
#include "tests/lib/daemon.h"
#include "tests/lib/redis_server.h"

#define LIMIT_MS 30000 /* for what must come at all */

/* A daemon under a sanitizer is slower by this factor, and so are the times that it is held to. */
#ifndef __has_feature
#define __has_feature(x) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || \
    __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SLOWNESS 5
#else
#define SLOWNESS 1
#endif
#define MANY (10000 / SLOWNESS) /* jobs at once */
/* A promise of seconds is held to its number in the long form, where nothing else runs; else to
 * what is far below the other ways in which it would come at last: a lease, a drain, the sweep of
 * each minute. */
#define WITHIN(ms) (scene_long() ? (ms)*SLOWNESS : (ms) + 9000)

struct scene {
    char folder[64], runtime_dir[96], url[256];
    const char *instance;   /* "e2e" */
    const char *redis_more; /* further settings of `redis: {…}` */
    struct redis_server *redis;
    struct redis_server *other; /* for tests that need two; stopped with the scene when set */
    struct daemon *daemon;
    struct daemon *second; /* for tests that need two; freed with the scene when set */
    const char *second_instance;
    struct proxy *proxy; /* likewise */
};

/* cmocka fixtures: a plain server; any; one with appendonly, fsync always; two that keep what they
 * hold, and a proxy to the first. */
int scene_new(void **state);
int scene_new_with(void **state, const char *const *args); /* of redis-server, NULL-terminated */
int scene_new_durable(void **state);
int scene_new_pair_with(void **state, const char *const *args); /* of both, likewise */
int scene_free(void **state);

#define SCENE(test) cmocka_unit_test_setup_teardown(test, scene_new, scene_free)
#define DURABLE(test) cmocka_unit_test_setup_teardown(test, scene_new_durable, scene_free)
/* Runs a program's tests; E2E_TEST='*quit*' picks some by their names. Returns how many failed. */
#define scene_run(tests) \
    (cmocka_set_test_filter(getenv("E2E_TEST")), cmocka_run_group_tests(tests, NULL, NULL))

/* The daemon is that program, beside $RPOPD, from now on. */
void scene_program(const char *path);

/* One queue of the configuration, with further settings. */
#define QUEUE(name, type, more) \
    "{ name = \"" name "\"; handler: { type = \"" type "\"; }; " more " }"
/* A configuration of one queue called `queue`. */
#define ONE(type, more) "queues = (" QUEUE("queue", type, more) "); "

/* Writes the file: instance, runtime_dir and redis of the scene, then `more`; and starts the
 * daemon. */
void scene_launch(struct scene *s, const char *more);
void scene_start(struct scene *s,
                 const char *more); /* the same, and waits until it is registered at `queue` */
/* Another instance of that name beside it, as `second`; until it is registered at `queue`. */
void scene_second(struct scene *s, const char *instance, const char *more);
void scene_again(struct scene *s); /* starts it anew with the file as it is, and waits likewise */
/* Redis is empty, and the daemon, which is killed where it runs, has printed nothing yet. */
void scene_fresh(struct scene *s);
/* `more` and n queues of the handler sleep: `queue`, q1, q2, ... Gives; free(). */
char *scene_queues(unsigned n, const char *more);
char *scene_conf(const struct scene *s, const char *more); /* the text alone; gives, free() */
/* A signal; it must end with `code` within the limit. QUIT: with all given back, also where the
 * machine stood still meanwhile. */
void scene_stop(struct scene *s, int sig, int code, int64_t limit_ms);
void scene_stop_second(struct scene *s, int sig); /* likewise; exit code 0 */

#define scene_await(s, limit_ms, condition)                                         \
    for (int64_t start_ = clock_now_ms(), end_ = start_ + (limit_ms); !(condition); \
         scene_rest(start_))                                                        \
        if (clock_now_ms() > end_)                                                  \
    scene_fail((s), "not within its time: " #condition, __FILE__, __LINE__)

#define scene_hold(s, for_ms, condition)                                                \
    for (int64_t end_ = clock_now_ms() + (for_ms); clock_now_ms() < end_; scene_tick()) \
        if (!(condition))                                                               \
    scene_fail((s), "did not hold: " #condition, __FILE__, __LINE__)

#define scene_check(s, condition)                                          \
    do {                                                                   \
        if (!(condition))                                                  \
            scene_fail((s), "is not so: " #condition, __FILE__, __LINE__); \
    } while (0)

void scene_tick(void);             /* 5 ms between two looks at a condition */
void scene_rest(int64_t since_ms); /* the same; 20 ms at one that is awaited since long before */
void scene_fail(struct scene *s, const char *what, const char *file, int line)
    __attribute__((noreturn));

bool scene_long(void);                     /* E2E_LONG is set */
int scene_number(const char *name, int n); /* a number from the environment, else n */
unsigned scene_random(unsigned below);     /* seeded by $SEED, which is printed once */

/* Redis, by the scene's own connection. */
#define ask_int(s, ...) redis_server_integer((s)->redis, __VA_ARGS__)
#define ask_text(s, ...) redis_server_text((s)->redis, __VA_ARGS__)

void push(struct scene *s, const char *queue, const char *payload);
/* LPUSH of prefix000000 … prefix(n-1), six digits, in one step: "0.0" gives unique short sleeps. */
void push_numbers(struct scene *s, const char *queue, const char *prefix, unsigned first,
                  unsigned n);
long long stat_of(struct scene *s, const char *queue,
                  const char *name); /* a counter of rpopd:{Q}:stats */

/* How often which of the numbers 0 … n-1 behind a prefix was seen. */
struct tally {
    unsigned distinct, total, most; /* total: everything, also what is none of them */
};
struct tally printed(struct scene *s, const char *verb, const char *prefix,
                     unsigned n);  /* lines `<verb> <payload>` */
unsigned running(struct scene *s); /* how many print `Waiting` and not yet `Done` */
/* The same for what both daemons printed. */
struct tally printed_by_both(struct scene *s, const char *verb, const char *prefix, unsigned n);
struct tally printed_by_all(struct daemon *const *all, unsigned daemons, const char *verb,
                            const char *prefix, unsigned n);
/* The numbers in the order of the lines; returns how many (at most max). */
unsigned printed_order(struct scene *s, const char *verb, const char *prefix, unsigned *ret_numbers,
                       unsigned max);
/* The payloads in all keys of a queue, read in one step: list, passage, batches less what is
 * settled. */
struct tally held(struct scene *s, const char *queue, const char *prefix, unsigned n);
unsigned listed_order(struct scene *s, const char *queue, const char *prefix, unsigned *ret_numbers,
                      unsigned max);
long long claimed(struct scene *s, const char *queue); /* in batches and not settled; in one step */
/* The same of one instance: what may run again where that one is killed. */
long long claimed_by(struct scene *s, const char *queue, const char *instance);
/* Somebody takes the daemon for dead at `queue`; until it has found out. */
void lose_epoch(struct scene *s);
/* Of the numbers: neither done, by what was printed, nor in Redis; and both. */
struct fates {
    unsigned nowhere, twice;
};
struct fates fates(struct scene *s, const char *queue, const char *prefix, unsigned n);
const char *
left_over(struct scene *s); /* a key that is no stats, dead or fenced; "" when at rest */

#endif
