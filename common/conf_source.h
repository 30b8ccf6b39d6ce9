/* conf_source.h - the text of a configuration while it is read: where it came from, where its
 * mistakes go. Runs on: any thread. Never awaits. Internal to common/conf*.c. */
#ifndef COMMON_CONF_SOURCE_H
#define COMMON_CONF_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/stat.h>

#include "common/err.h"

#define CONF_FILE_MAX 1048576 /* bytes */
#define CONF_MISTAKES_SHOWN 50

struct conf_source {
    const char *file; /* for the mistakes */
    FILE *errors;
    unsigned mistakes, scan_mistakes; /* in all, and the first of them that the scan found */
    bool no_memory;
    unsigned lines[CONF_MISTAKES_SHOWN]; /* of the first mistakes; 0: none */
    unsigned instance_line, runtime_dir_line,
        password_file_line; /* where they were set; 0: nowhere */
};

/* Writes `file:line: name: sentence`, at most CONF_MISTAKES_SHOWN of them, and counts. Line 0 is
 * left out; an empty name, between the settings, is "syntax". */
void conf_mistake(struct conf_source *s, unsigned line, const char *name, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* The scan found a mistake in this line: it has put something harmless there that may not fit. */
bool conf_scan_complained(const struct conf_source *s, unsigned line);
/* Says how many mistakes were not shown. Returns 0, -EINVAL where there were mistakes, -ENOMEM. */
int conf_source_end(struct conf_source *s);

/* Reads a regular file of at most `max` bytes. Gives *ret_text with a NUL behind it; *ret_stat may
 * be NULL. 0, -ENOMEM, -EINVAL (not a regular file), -EFBIG or what open(2) and read(2) said, with
 * a sentence. */
int conf_read(const char *path, size_t max, char **ret_text, size_t *ret_len, struct stat *ret_stat,
              struct err *e);

#endif
