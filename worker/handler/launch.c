#include "worker/handler/launch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define INSTALLED RPOPD_PREFIX "/lib/rpopd/rpopd-exec"
#define NUMBER_MAX 32

const char *launch_needed(const struct conf_handler *h)
{
    return *h->user          ? "handler.user"
           : *h->umask       ? "handler.umask"
           : h->nice         ? "handler.nice"
           : *h->rlimits     ? "handler.rlimits"
           : h->no_new_privs ? "handler.no_new_privs"
                             : NULL;
}

int launch_path(char out[PATH_MAX])
{
    ssize_t n = readlink("/proc/self/exe", out, PATH_MAX - sizeof "-exec");
    char *name = n > 0 ? memrchr(out, '/', (size_t)n) : NULL;
    if (name && name - out < PATH_MAX - (ssize_t)sizeof "/rpopd-exec") {
        (void)stpcpy(name, "/rpopd-exec");
        if (access(out, X_OK) == 0)
            return 0;
    }
    (void)snprintf(out, PATH_MAX, "%s", INSTALLED);
    return access(out, X_OK) == 0 ? 0 : -ENOENT;
}

char **launch_free(char **words, size_t n)
{
    for (size_t i = 0; words && i < n; i++)
        free(words[i]);
    free(words);
    return NULL;
}

struct words {
    char **at;
    size_t n;
    bool short_of_memory;
};

static void put(struct words *w, const char *option, const char *value)
{
    if (asprintf(&w->at[w->n], "%s%s", option, value) < 0)
        w->short_of_memory = true;
    else
        w->n++;
}

static size_t count(char *const *texts)
{
    size_t n = 0;
    while (texts[n])
        n++;
    return n;
}

char **launch_words(const struct conf_handler *h, size_t *ret_n)
{
    char number[NUMBER_MAX];
    struct words w = {.at = calloc(count(h->rlimits) + 8, sizeof *w.at)};
    if (!w.at)
        return NULL;
    put(&w, "rpopd-exec", "");
    if (*h->user)
        put(&w, "--user=", h->user);
    if (*h->umask)
        put(&w, "--umask=", h->umask);
    if (h->nice) {
        (void)snprintf(number, sizeof number, "%d", h->nice);
        put(&w, "--nice=", number);
    }
    for (char *const *limit = h->rlimits; *limit; limit++)
        put(&w, "--rlimit=", *limit);
    if (h->no_new_privs)
        put(&w, "--no-new-privs", "");
    put(&w, "--", "");
    *ret_n = w.n;
    return w.short_of_memory ? launch_free(w.at, w.n) : w.at;
}
