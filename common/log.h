/* log.h - one line an event: `event key=value ...`; values from outside are quoted by the caller's
 * format through log_quote. Runs on: any thread. Never awaits; formats on the thread's own stack.
 * Writes one line by one write(2); a full or closed sink drops the line and counts it, and never
 * blocks a loop for longer than that write. Formats: journal fields (sd_journal_sendv) under
 * systemd, text on a terminal, key=value, JSON. Ownership: borrows all. Source:
 * systemd.journal-fields(7) for PRIORITY and the field names. */
#ifndef COMMON_LOG_H
#define COMMON_LOG_H

#include <stddef.h>
#include <stdint.h>

#include "common/conf.h"

/* Chooses level and sink for every thread, and ignores SIGPIPE. May be called again at any time. */
void log_open(enum conf_log_level level, enum conf_log_format format);
uint64_t log_dropped(void); /* lines that found no room, no reader or no disk */

/* Logs `event` (a constant like job-done) with "key=value key='value with blanks'" pairs from the
 * format. What is longer than a line is cut. Keeps errno. */
void log_at(enum conf_log_level level, const char *event, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
#define log_debug(...) log_at(CONF_LOG_DEBUG, __VA_ARGS__)
#define log_info(...) log_at(CONF_LOG_INFO, __VA_ARGS__)
#define log_warn(...) log_at(CONF_LOG_WARNING, __VA_ARGS__)
#define log_error(...) log_at(CONF_LOG_ERROR, __VA_ARGS__)

/* Writes bytes from outside into `out` as a single-quoted, escaped, cut value; returns out. */
#define LOG_QUOTE_MAX 256
const char *log_quote(const void *bytes, size_t len, char out[LOG_QUOTE_MAX]);

#endif
