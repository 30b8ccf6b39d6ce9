/* shares.h - three queues at which jobs lie, `queue`, `second` and `third`, and who of them gets
 * the slots, by what the daemon prints. Runs on: the test's only thread. Errors end the test. */
#ifndef TESTS_E2E_SHARES_H
#define TESTS_E2E_SHARES_H

#include "tests/e2e/scene.h"

/* Their configuration, each with further settings; and as all that there are. */
#define THREE_OF(a, b, c) \
    QUEUE("queue", "sleep", a) ", " QUEUE("second", "sleep", b) ", " QUEUE("third", "sleep", c)
#define THREE(a, b, c) "queues = (" THREE_OF(a, b, c) ");"

extern const char *const shares_of[3]; /* the prefixes of their jobs */
void shares_push(struct scene *s, unsigned each);
/* Lines `Waiting <prefix>...` of each of n prefixes among the first `max` such lines; returns how
 * many there are so far. */
unsigned shares_seen(struct scene *s, unsigned max, const char *const *prefixes,
                     unsigned *ret_counts, unsigned n);
/* The first 900 jobs are the three queues', by these weights; `slots` leave a burst's room. */
void shares_are(struct scene *s, unsigned slots, const unsigned *weights);

#endif
