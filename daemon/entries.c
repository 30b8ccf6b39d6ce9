#include "daemon/entries.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool parse_name(struct entry *x)
{
    char *end;
    const char *digits = x->name;
    x->records = *digits == 'r';
    digits += x->records;
    if (*digits < '1' || *digits > '9' || strlen(digits) > 18)
        return false;
    x->number = strtoull(digits, &end, 10);
    return !*end;
}

/* Splits <instance>:<epoch>:<name>; false where it is anything else. */
static bool parse_field(struct entry *x)
{
    char *first = strchr(x->split, ':'), *second = first ? strchr(first + 1, ':') : NULL;
    if (!second || first == x->split || second == first + 1 || strchr(second + 1, ':') ||
        second - first > EPOCH_NAME_MAX || strlen(second + 1) >= BATCH_NAME_MAX)
        return false;
    *first = *second = '\0';
    x->epoch = first + 1;
    x->name = second + 1;
    return parse_name(x);
}

static void entry_deinit(struct entry *x)
{
    free(x->field);
    free(x->value);
    free(x->split);
}

static int add_one(struct entries *e, const struct redis_reply *field,
                   const struct redis_reply *value)
{
    if (field->type != REDIS_STRING || value->type != REDIS_STRING ||
        strlen(field->str) != field->len)
        return 0;
    if (e->n == e->room) {
        size_t room = e->room ? e->room * 2 : 64;
        struct entry *more = realloc(e->at, room * sizeof *more);
        if (!more)
            return -ENOMEM;
        e->at = more;
        e->room = room;
    }
    struct entry x = {
        .field = strdup(field->str), .value = strdup(value->str), .split = strdup(field->str)};
    if (!x.field || !x.value || !x.split) {
        entry_deinit(&x);
        return -ENOMEM;
    }
    if (parse_field(&x))
        e->at[e->n++] = x;
    else
        entry_deinit(&x);
    return 0;
}

int entries_add(struct entries *e, const struct redis_reply *pairs)
{
    for (size_t i = 0; i + 1 < pairs->n; i += 2) {
        int r = add_one(e, &pairs->item[i], &pairs->item[i + 1]);
        if (r < 0)
            return r;
    }
    return 0;
}

static int by_age(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    int r = strcmp(x->epoch, y->epoch);
    if (!r)
        r = (x->number > y->number) - (x->number < y->number);
    return r ? r : strcmp(x->field, y->field);
}

void entries_sort(struct entries *e)
{
    if (!e->n)
        return;
    qsort(e->at, e->n, sizeof *e->at, by_age);
    size_t kept = 1;
    for (size_t i = 1; i < e->n; i++)
        if (strcmp(e->at[i].field, e->at[kept - 1].field) == 0)
            entry_deinit(&e->at[i]);
        else
            e->at[kept++] = e->at[i];
    e->n = kept;
}

void entries_clear(struct entries *e)
{
    for (size_t i = 0; i < e->n; i++)
        entry_deinit(&e->at[i]);
    free(e->at);
    *e = (struct entries){0};
}

struct entry *entries_find(const struct entries *e, const char *field)
{
    struct entry key = {.field = (char *)field, .split = strdup(field)};
    struct entry *found = NULL;
    if (key.split && parse_field(&key) && e->n)
        found = bsearch(&key, e->at, e->n, sizeof *e->at, by_age);
    free(key.split);
    return found;
}

int epochs_add(struct epochs *e, const char *name)
{
    if (epochs_have(e, name))
        return 0;
    char(*more)[EPOCH_NAME_MAX] = realloc(e->at, (e->n + 1) * sizeof *more);
    if (!more)
        return -ENOMEM;
    e->at = more;
    memcpy(e->at[e->n++], name, strlen(name) + 1);
    return 0;
}

int epochs_open(struct epochs *e, const struct redis_reply *fenced)
{
    for (size_t i = 0; i + 1 < fenced->n; i += 2) {
        const struct redis_reply *name = &fenced->item[i], *state = &fenced->item[i + 1];
        if (name->type != REDIS_STRING || state->type != REDIS_STRING ||
            strlen(name->str) >= EPOCH_NAME_MAX || state->len < 5 ||
            strcmp(state->str + state->len - 5, " open") != 0)
            continue;
        int r = epochs_add(e, name->str);
        if (r < 0)
            return r;
    }
    return 0;
}

bool epochs_have(const struct epochs *e, const char *name)
{
    for (size_t i = 0; i < e->n; i++)
        if (strcmp(e->at[i], name) == 0)
            return true;
    return false;
}

void epochs_clear(struct epochs *e)
{
    free(e->at);
    *e = (struct epochs){0};
}
