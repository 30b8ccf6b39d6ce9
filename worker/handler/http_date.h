/* http_date.h - when a server wants to be asked again: Retry-After.
 * Runs on: any thread. Never awaits. Allocates nothing. Units: seconds. Errors: negative errno.
 * Source: RFC 9110, 5.6.7 (the three forms of a date) and 10.2.3. */
#ifndef WORKER_HANDLER_HTTP_DATE_H
#define WORKER_HANDLER_HTTP_DATE_H

#include <stdint.h>

#define HTTP_DELAY_MAX_S 1000000000 /* 31 years: a later one is cut to it */

/* A date as unix seconds: 0 or -EINVAL. `now_s` tells the century of one with two digits. Strict:
 * names in their case, GMT, no blanks around, a day that there is. */
int http_date_parse(const char *text, int64_t now_s, int64_t *ret_s);

/* Digits, or a date, which is counted from `now_s`: 0 and 0 to HTTP_DELAY_MAX_S, or -EINVAL. */
int http_retry_after(const char *text, int64_t now_s, int64_t *ret_delay_s);

#endif
