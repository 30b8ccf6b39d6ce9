/* oom.h - memory that runs out on purpose. For a program whose first line is
 * LDFLAGS: -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=strdup,--wrap=asprintf
 * Only calls of what is linked statically are counted: the project's, not a library's.
 * Runs on: any thread; the count is over all of them. */
#ifndef TESTS_LIB_OOM_H
#define TESTS_LIB_OOM_H

#include <stdbool.h>

void oom_arm(unsigned n); /* the n-th allocation from now on fails (1: the next one), once */
void oom_arm_all(unsigned n, bool all); /* `all`: that one and every one behind it */
bool oom_disarm(void);                  /* true: one has failed since oom_arm */

#endif
