#include "daemon/watch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define WITHIN_MIN_MS 300 /* of a short lease a fifteenth is no time to answer in */

struct watched {
    char *name, *how;
    int64_t since_ms, seen_ms;
};

void watch_init(struct watch *w, int64_t lease_ms)
{
    *w = (struct watch){.lease_ms = lease_ms};
}

static void free_at(struct watch *w, size_t i)
{
    free(w->at[i].name);
    free(w->at[i].how);
}

void watch_anew(struct watch *w)
{
    for (size_t i = 0; i < w->n; i++)
        free_at(w, i);
    w->n = 0;
}

void watch_deinit(struct watch *w)
{
    watch_anew(w);
    free(w->at);
    w->at = NULL;
    w->room = 0;
}

bool watch_answered(struct watch *w, uint64_t cuts, int64_t sent_ms, int64_t now_ms)
{
    int64_t within = w->lease_ms / 15;
    bool good =
        cuts == w->link && now_ms - sent_ms <= (within > WITHIN_MIN_MS ? within : WITHIN_MIN_MS);
    w->link = cuts;
    if (!good)
        watch_anew(w);
    return good;
}

/* Where `name` stands, or belongs: sorted, since a queue may have many owners. */
static size_t find(const struct watch *w, const char *name, bool *ret_found)
{
    size_t low = 0, high = w->n;
    *ret_found = false;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(name, w->at[middle].name);
        if (order == 0) {
            *ret_found = true;
            return middle;
        }
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static int insert(struct watch *w, size_t i, const char *name, const char *how)
{
    if (w->n == w->room) {
        size_t room = w->room ? w->room * 2 : 16;
        struct watched *more = realloc(w->at, room * sizeof *more);
        if (!more)
            return -ENOMEM;
        w->at = more;
        w->room = room;
    }
    struct watched x = {.name = strdup(name), .how = strdup(how)};
    if (!x.name || !x.how) {
        free(x.name);
        free(x.how);
        return -ENOMEM;
    }
    memmove(w->at + i + 1, w->at + i, (w->n - i) * sizeof x);
    w->at[i] = x;
    w->n++;
    return 0;
}

static void remove_at(struct watch *w, size_t i)
{
    free_at(w, i);
    w->n--;
    memmove(w->at + i, w->at + i + 1, (w->n - i) * sizeof *w->at);
}

static int change(struct watched *x, const char *how)
{
    char *copy = strdup(how);
    if (!copy)
        return -ENOMEM;
    free(x->how);
    x->how = copy;
    return 0;
}

/* The gap that two looks at the same thing may have: twice the time between looks. Of a short lease
 * that is less than an answer or two may take, during which no look is sent. */
static int64_t gap_ms(const struct watch *w)
{
    const int64_t least = (int64_t)2 * WITHIN_MIN_MS;
    int64_t gap = w->lease_ms * 4 / 15;
    return gap > least ? gap : least;
}

int watch_see(struct watch *w, const char *name, const char *how, int64_t sent_ms, int64_t now_ms)
{
    bool known;
    size_t i = find(w, name, &known);
    if (!known && insert(w, i, name, how) < 0)
        return -ENOMEM;
    struct watched *x = &w->at[i];
    bool moved = strcmp(x->how, how) != 0;
    if (moved && change(x, how) < 0) {
        remove_at(w, i);
        return -ENOMEM;
    }
    if (!known || moved || sent_ms - x->seen_ms > gap_ms(w))
        x->since_ms = now_ms;
    x->seen_ms = sent_ms;
    return sent_ms - x->since_ms >= w->lease_ms;
}

void watch_forget(struct watch *w, const char *name)
{
    bool known;
    size_t i = find(w, name, &known);
    if (known)
        remove_at(w, i);
}

bool watch_tidy(struct watch *w, int64_t now_ms)
{
    size_t kept = 0, were = w->n;
    for (size_t i = 0; i < w->n; i++)
        if (now_ms - w->at[i].seen_ms > gap_ms(w))
            free_at(w, i);
        else
            w->at[kept++] = w->at[i];
    w->n = kept;
    return kept < were;
}
