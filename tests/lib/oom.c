#include "tests/lib/oom.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>

static atomic_uint armed; /* allocations until one fails; 0: none will */
static atomic_bool failed, for_good;

int __wrap_asprintf(char **out, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

void oom_arm_all(unsigned n, bool all)
{
    atomic_store(&failed, false);
    atomic_store(&for_good, all);
    atomic_store(&armed, n);
}

void oom_arm(unsigned n)
{
    oom_arm_all(n, false);
}

bool oom_disarm(void)
{
    atomic_store(&armed, 0);
    return atomic_load(&failed);
}

static bool fails(void)
{
    unsigned n = atomic_load(&armed);
    while (n > (atomic_load(&for_good) ? 1u : 0u) &&
           !atomic_compare_exchange_weak(&armed, &n, n - 1))
        ;
    if (n != 1)
        return false;
    atomic_store(&failed, true);
    errno = ENOMEM;
    return true;
}

#include "tests/lib/wrap_alloc.h"

int __wrap_asprintf(char **out, const char *fmt, ...)
{
    static char never_look_here;
    va_list args;
    if (fails()) {
        *out = &never_look_here; /* undefined, says the manual: who frees it is found out */
        return -1;
    }
    va_start(args, fmt);
    int r = vasprintf(out, fmt, args);
    va_end(args);
    return r;
}
