/* conf_gather.h - what the scenarios share that gather and wait. Runs on: the loop's thread. */
#ifndef TESTS_ASYNCIO_CONF_GATHER_H
#define TESTS_ASYNCIO_CONF_GATHER_H

#include "tests/asyncio/conf.h"
#include "worker/runtime/gather.h"

/* "[A, none, CancelledError()]": the results are texts, or NULL. Valid until the next call. */
const char *show_gathered(const struct gathered *r, size_t n);
/* Awaits the gather of n, with errors as results; takes the references. Gives the gather, done: it
 * holds the results. */
struct future *gather_all(struct future *const *fs, size_t n, const struct gathered **ret_results);
/* Awaits a gather of n that must succeed; takes g. As show_gathered. */
const char *gathered_text(struct future *g, size_t n);
/* Awaits a gather or a shield that fails; takes it. Returns its code, fills *e. */
int gather_error(struct future *g, struct err *e);

struct sleeper { /* prints "suspend a", sleeps, prints "resume a" and returns "A" */
    const char *name, *result;
    int units;
};
int suspend_resume(void *sleeper, void **ret_result, struct err *e);
extern struct sleeper sleeper_a, sleeper_b; /* 3 units, 1 unit */

#endif
