/* rlimit.h - a resource limit as text: "nofile=1024", "core=0:unlimited" (soft and hard).
 * Runs on: any thread. Never awaits. Allocates nothing. Errors: -EINVAL with "what is wrong, what
 * is allowed". Units: as man 2 setrlimit has them. */
#ifndef COMMON_RLIMIT_H
#define COMMON_RLIMIT_H

#include <sys/resource.h>

#include "common/err.h"

/* One number is both. */
int rlimit_parse(const char *text, int *ret_resource, struct rlimit *ret_limit, struct err *e);

#endif
