/* log_line.h - what a line of the log looks like, in each format, and the pairs in it.
 * Runs on: any thread, on the thread's own stack. Never awaits. Allocates nothing. Borrows all.
 * Internal to log.c. Pairs are `key=value` with blanks between them; a value with blanks stands in
 * single quotes, where a backslash escapes as text_quote does it, and ends at a quote that a blank
 * or the end follows. */
#ifndef COMMON_LOG_LINE_H
#define COMMON_LOG_LINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/conf.h"

#define LOG_LINE_MAX \
    4096 /* bytes with the line end: a pipe takes that much in one piece or not at all */
#define LOG_PAIRS_MAX 3072

struct log_record {
    int64_t wall_ms;
    enum conf_log_level level;
    const char *event;
    const char *pairs;
};

struct log_pair {
    const char *key;
    size_t key_len;
    bool quoted;
    size_t value_len;
    char value[LOG_PAIRS_MAX]; /* without quotes and escapes; \xNN stays as it is, so it is UTF-8 if
                                  the pairs are */
};

/* Takes the next pair off *pairs; false at the end. */
bool log_pair_next(const char **pairs, struct log_pair *ret_pair);

/* Each writes one line with its line end, cut where it is too long, and returns its length. Control
 * characters and bytes that are not UTF-8 are escaped. */
size_t log_line_text(const struct log_record *r, bool colour, char out[LOG_LINE_MAX]);
size_t log_line_keyvalue(const struct log_record *r, char out[LOG_LINE_MAX]);
size_t log_line_json(const struct log_record *r, char out[LOG_LINE_MAX]);
/* "event pairs" without a line end, for the journal's MESSAGE. */
size_t log_line_message(const struct log_record *r, char out[LOG_LINE_MAX]);

#endif
