/* drain.h - a drain of numbered jobs that something happens to: the load of the tests of faults.
 * Runs on: the test's only thread. Errors end the test. */
#ifndef TESTS_E2E_DRAIN_H
#define TESTS_E2E_DRAIN_H

#include "tests/e2e/scene.h"

#define DRAIN_PREFIX "0.010" /* ten milliseconds and a little */

/* Pushes the jobs to `queue` and starts the daemon with so many slots; or with this text before
 * `queues`. */
void drain_begin(struct scene *s, unsigned jobs, unsigned concurrency);
void drain_with(struct scene *s, unsigned jobs, const char *settings);
void drain_reach(struct scene *s, unsigned jobs); /* waits until so many have been done at all */
/* What held it up has ended just now: it goes on within a pause of 5 s between two tries to connect
 * and a second. */
void drain_heals(struct scene *s);
void drain_heals_within(struct scene *s, int64_t ms); /* likewise, where it is less or more */
/* Waits for the last, stops the daemon with TERM; each must have been done at least once, and at
 * most as often more as doubles are allowed by the fault: none, for the daemon itself never died.
 * Nothing may be left in Redis. */
void drain_end(struct scene *s);

#endif
