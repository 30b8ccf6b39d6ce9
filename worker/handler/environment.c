#include "worker/handler/environment.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Whether a variable bears a name, or one that begins so where the pattern ends in a star. */
static bool is_named(const char *variable, const char *pattern)
{
    size_t n = strcspn(pattern, "*");
    return !strncmp(variable, pattern, n) && (pattern[n] || variable[n] == '=');
}

static bool is_one_of(const char *variable, const char *const *patterns)
{
    while (*patterns && !is_named(variable, *patterns))
        patterns++;
    return *patterns;
}

/* Of the daemon's own, and of those that the settings ask for. */
static bool is_dropped(const char *variable, bool own)
{
    static const char *const of_daemon[] = {"NOTIFY_SOCKET", "WATCHDOG_*", "LISTEN_*",
                                            "CREDENTIALS_DIRECTORY", NULL};
    static const char *const of_job[] = {"RPOPD_QUEUE",
                                         "RPOPD_JOB_ID",
                                         "RPOPD_ATTEMPT",
                                         "RPOPD_ATTEMPTS",
                                         "RPOPD_DEADLINE",
                                         "RPOPD_CHILD",
                                         NULL};
    return is_one_of(variable, of_job) || (own && is_one_of(variable, of_daemon));
}

static bool same_name(const char *a, const char *b)
{
    size_t n = strcspn(a, "=");
    return strcspn(b, "=") == n && !strncmp(a, b, n);
}

static void put(const char **to, size_t *n, const char *variable)
{
    size_t i = 0;
    while (i < *n && !same_name(to[i], variable))
        i++;
    to[i] = variable;
    *n += i == *n;
}

static size_t count(char *const *texts)
{
    size_t n = 0;
    while (texts && texts[n])
        n++;
    return n;
}

const char **environment_new(char *const *own, char *const *more, size_t spare, size_t *ret_n)
{
    size_t nown = count(own), nmore = count(more), n = 0;
    const char **to = calloc(nown + nmore + spare + 1, sizeof *to);
    for (size_t i = 0; to && i < nown + nmore; i++) {
        const char *variable = i < nown ? own[i] : more[i - nown];
        if (!is_dropped(variable, i < nown) && strchr(variable, '='))
            put(to, &n, variable);
    }
    *ret_n = n;
    return to;
}

const char *environment_get(const char *const *environment, const char *name)
{
    size_t n = strlen(name);
    for (; environment && *environment; environment++)
        if (!strncmp(*environment, name, n) && (*environment)[n] == '=')
            return *environment + n + 1;
    return NULL;
}
