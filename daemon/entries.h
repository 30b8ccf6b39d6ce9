/* entries.h - the entries of `batches` and the epochs of `fenced`, as a comparison reads them.
 * Runs on: master. Never awaits. Errors: -ENOMEM. Entries that are not of a form we know are left
 * alone. */
#ifndef DAEMON_ENTRIES_H
#define DAEMON_ENTRIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/batch.h"
#include "daemon/redis.h"

struct entry {
    char *field; /* <instance>:<epoch>:<name>, malloc'd */
    char *value;
    const char *epoch, *name; /* in `split` */
    char *split;              /* the field with NULs for its colons: begins with the instance */
    bool records;
    bool known; /* a batch in memory */
    uint64_t number;
};

struct entries {
    struct entry *at;
    size_t n, room;
};

/* Adds the field-value pairs of an HSCAN answer; a pair that came twice is kept once by
 * entries_sort. */
int entries_add(struct entries *e, const struct redis_reply *pairs);
void entries_sort(struct entries *e); /* by epoch, then by number: oldest first */
void entries_clear(struct entries *e);
struct entry *entries_find(const struct entries *e, const char *field); /* after entries_sort */

struct epochs { /* names that are open in `fenced` */
    char (*at)[EPOCH_NAME_MAX];
    size_t n;
};

int epochs_open(struct epochs *e, const struct redis_reply *fenced); /* from HGETALL */
int epochs_add(struct epochs *e, const char *name);
bool epochs_have(const struct epochs *e, const char *name);
void epochs_clear(struct epochs *e);

#endif
