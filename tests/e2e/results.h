/* results.h - what the tests of results share: the daemon whose `null` returns what its payload
 * asks for (tests/e2e/results/handlers.c), and looks at the lists that it delivers to.
 * Runs on: the test's only thread. Errors end the test. */
#ifndef TESTS_E2E_RESULTS_H
#define TESTS_E2E_RESULTS_H

#include "tests/e2e/scene.h"

/* As scene_run, with that daemon. */
void results_use_daemon(void);

/* The elements of a result list: `<id>\n<result>`. */
struct results {
    unsigned total;
    unsigned ids;     /* different ones */
    unsigned numbers; /* different results of the form <front><number>, six digits */
};
struct results results_of(struct scene *s, const char *list, const char *front);
/* Elements of a plain list with this text, byte for byte. */
unsigned results_equal(struct scene *s, const char *list, const char *bytes, size_t len);
/* Takes those of `len` bytes, each of them `byte`, out of a result list; how many there were. What
 * else is there is pushed back. */
unsigned results_take_large(struct scene *s, const char *list, size_t len, char byte);

#endif
