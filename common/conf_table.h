/* conf_table.h - the table of all settings: the only place that names one.
 * Runs on: any thread; all of it is const. Never awaits. Internal to common/conf*.c and its tests.
 */
#ifndef COMMON_CONF_TABLE_H
#define COMMON_CONF_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/conf.h"

#define CONF_QUEUES_MAX 10000 /* queues in a file */

enum conf_type {
    CONF_TEXT,    /* char *; one of `words` where there are any */
    CONF_BOOL,    /* bool */
    CONF_COUNT,   /* int */
    CONF_BYTES,   /* int64_t */
    CONF_SECONDS, /* a float in the file, int64_t milliseconds in the struct */
    CONF_FACTOR,  /* double */
    CONF_CHOICE,  /* an enum; `words` names its values in their order */
    CONF_WORDS,   /* char **: an array of texts, NULL-terminated */
    CONF_PAIRS,   /* char **: a group of anybody's settings, each as name=value */
    CONF_QUEUES,  /* the list of queues, each with the settings of conf_queue_rows */
};

enum conf_flag {
    CONF_REQUIRED = 1, /* has no default; `def` is an example */
    CONF_LATER = 2,    /* checked, but its feature is not built yet */
    CONF_LIVE = 4,     /* a reload applies it */
};

/* A flag too: a setting of this handler type (enum conf_handler_type), or of these. None: of all.
 */
#define CONF_OF(type) (256u << (type))
#define CONF_WORD_MAX 4000 /* bytes of one text of CONF_WORDS, one value of CONF_PAIRS */

struct conf_row {
    const char *name; /* dotted: "redis.url" */
    enum conf_type type;
    size_t offset; /* in struct conf, or struct conf_queue */
    double min,
        max; /* numbers, both allowed; text: its length in bytes; CONF_WORDS and _PAIRS: how many */
    const char *def; /* as it stands in a file */
    unsigned flags;
    const char *const *words;
    int (*check)(const char *text,
                 struct err *e); /* each text: 0 or -EINVAL with a sentence; NULL: nothing more */
    const char *text;            /* what it is, for people: one or more sentences */
};

struct conf_rows {
    const struct conf_row *row;
    size_t n;
};

extern const struct conf_rows conf_top_rows;   /* in the order of the printed file */
extern const struct conf_rows conf_queue_rows; /* of one member of `queues` */

/* Its handler types, "exec and pool"; "": of all. Returns out. */
#define CONF_TYPES_MAX 80
const char *conf_row_types(const struct conf_row *row, char out[CONF_TYPES_MAX]);
/* A queue with this handler type may have it. NULL or an unknown type: any. */
bool conf_row_is_of(const struct conf_row *row, const char *type);
/* A queue with this handler type must have it. */
bool conf_row_needed(const struct conf_row *row, const char *type);

const struct conf_row *conf_row_find(const struct conf_rows *rows, const char *name);
/* Some row lies in the group `name` ("redis"). */
bool conf_row_is_group(const struct conf_rows *rows, const char *name);
/* Writes the name of the row or group that `name` was meant to be; false where there is none. */
#define CONF_NEAR_MAX 32
bool conf_row_near(const struct conf_rows *rows, const char *name, char out[CONF_NEAR_MAX]);

/* "a whole number from 0 to 1024": what the row allows, in words. Returns out. */
#define CONF_ALLOWED_MAX 200
const char *conf_row_allowed(const struct conf_row *row, char out[CONF_ALLOWED_MAX]);

#endif
