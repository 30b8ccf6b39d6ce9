#include "common/rlimit.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "common/text.h"

static const struct {
    const char *name;
    int resource;
} known[] = {
    {"as", RLIMIT_AS},           {"core", RLIMIT_CORE},
    {"cpu", RLIMIT_CPU},         {"data", RLIMIT_DATA},
    {"fsize", RLIMIT_FSIZE},     {"locks", RLIMIT_LOCKS},
    {"memlock", RLIMIT_MEMLOCK}, {"msgqueue", RLIMIT_MSGQUEUE},
    {"nice", RLIMIT_NICE},       {"nofile", RLIMIT_NOFILE},
    {"nproc", RLIMIT_NPROC},     {"rss", RLIMIT_RSS},
    {"rtprio", RLIMIT_RTPRIO},   {"rttime", RLIMIT_RTTIME},
    {"stack", RLIMIT_STACK},     {"sigpending", RLIMIT_SIGPENDING},
};

#define DIGITS_MAX 18 /* of a number that rlim_t holds for certain */

static bool take_number(const char **p, rlim_t *ret)
{
    static const char unlimited[] = "unlimited";
    const size_t len = sizeof unlimited - 1;
    if (!strncmp(*p, unlimited, len)) {
        *p += len;
        *ret = RLIM_INFINITY;
        return true;
    }
    size_t n = strspn(*p, "0123456789");
    rlim_t number = 0;
    for (size_t i = 0; i < n && n <= DIGITS_MAX; i++)
        number = number * 10 + (rlim_t)((*p)[i] - '0');
    *p += n;
    *ret = number;
    return n > 0 && n <= DIGITS_MAX;
}

static bool take_limit(const char *p, struct rlimit *ret)
{
    if (!take_number(&p, &ret->rlim_cur))
        return false;
    ret->rlim_max = ret->rlim_cur;
    if (*p == ':') {
        p++;
        if (!take_number(&p, &ret->rlim_max))
            return false;
    }
    return !*p && ret->rlim_cur <= ret->rlim_max;
}

int rlimit_parse(const char *text, int *ret_resource, struct rlimit *ret_limit, struct err *e)
{
    struct rlimit limit;
    char shown[60];
    size_t len = strcspn(text, "=");
    for (size_t i = 0; text[len] && i < sizeof known / sizeof *known; i++)
        if (strlen(known[i].name) == len && !strncmp(known[i].name, text, len) &&
            take_limit(text + len + 1, &limit)) {
            *ret_resource = known[i].resource;
            *ret_limit = limit;
            return 0;
        }
    return err_set(e, -EINVAL,
                   "%s is not a limit, allowed is as in \"nofile=1024\" or, soft and hard, "
                   "\"core=0:unlimited\", by the names of man 2 setrlimit",
                   text_quote(text, strlen(text), '"', shown, sizeof shown));
}
