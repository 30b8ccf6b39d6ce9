/* conf_value.h - one value on its way between a file and the field of a row.
 * Runs on: any thread. Never awaits. Internal to common/conf*.c. */
#ifndef COMMON_CONF_VALUE_H
#define COMMON_CONF_VALUE_H

#include <stdint.h>

#include "common/conf_table.h"

enum conf_kind {
    CONF_A_BOOL,
    CONF_AN_INTEGER,
    CONF_A_FLOAT,
    CONF_A_STRING,
    CONF_A_GROUP,
    CONF_AN_ARRAY,
    CONF_A_LIST
};

struct conf_value { /* borrows its texts */
    enum conf_kind kind;
    union {
        bool boolean;
        int64_t integer;
        double number;
        const char *text;
        const char *const *texts; /* of an array or a group, NULL-terminated; NULL: it holds more
                                     than CONF_WORDS or CONF_PAIRS do */
    };
};

/* Checks the value and puts it into the row's field in the struct at `base` (text is copied, what
 * was there is freed). 0, -ENOMEM, or -EINVAL with "what is wrong, what is allowed". */
int conf_value_put(const struct conf_row *row, void *base, struct conf_value v, struct err *e);

/* Puts the default. 0 or -ENOMEM. Rows with CONF_REQUIRED have none and are left alone. */
int conf_value_default(const struct conf_row *row, void *base);

/* Frees what the field holds; the zeroed struct is fine. */
void conf_value_free(const struct conf_row *row, void *base);

/* The field holds its default. */
bool conf_value_is_default(const struct conf_row *row, const void *base);

/* Writes the field as it stands in a file. */
void conf_value_print(const struct conf_row *row, const void *base, FILE *out);

#endif
