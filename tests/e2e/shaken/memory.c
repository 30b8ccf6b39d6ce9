/* The allocations of rpopd-shaken: some fail, where the test asks for it. Only calls of what is
 * linked statically come here: the project's, not a library's. */
#include "tests/e2e/shaken/shaken_by.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

char *__real_strndup(const char *text, size_t n);
int __real_vasprintf(char **out, const char *fmt, va_list args);
char *__wrap_strndup(const char *text, size_t n);
int __wrap_asprintf(char **out, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int __wrap_vasprintf(char **out, const char *fmt, va_list args);

/* A row of numbers without a pattern; the same in each life. */
static bool fails(void)
{
    static _Atomic uint32_t row = 1;
    struct shaken *k = shaken_by();
    unsigned one_in = atomic_load(&k->one_in);
    if (!one_in)
        return false;
    uint32_t x = atomic_fetch_add(&row, 1) * 2654435761u;
    x = (x ^ x >> 15) * 2246822519u;
    if ((x ^ x >> 13) % one_in)
        return false;
    atomic_fetch_add(&k->failures, 1);
    errno = ENOMEM;
    return true;
}

#include "tests/lib/wrap_alloc.h"

char *__wrap_strndup(const char *text, size_t n)
{
    return fails() ? NULL : __real_strndup(text, n);
}

int __wrap_vasprintf(char **out, const char *fmt, va_list args)
{
    return fails() ? -1 : __real_vasprintf(out, fmt, args);
}

int __wrap_asprintf(char **out, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int r = __wrap_vasprintf(out, fmt, args);
    va_end(args);
    return r;
}
