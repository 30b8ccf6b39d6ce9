/* http_check.h - what the table of settings cannot tell of a queue of http.
 * Runs on: any thread, on its own stack. Never awaits. 0, -ENOMEM, or -EINVAL with `handler.name:
 * what is wrong, what is allowed`. Source: RFC 9110, 5.1 and 5.5; 5.6.2. */
#ifndef WORKER_HANDLER_HTTP_CHECK_H
#define WORKER_HANDLER_HTTP_CHECK_H

#include "common/conf.h"
#include "common/err.h"

int http_check(const struct conf_queue *queue, struct err *e);

/* "Name: value", which is no field of rpopd's own, nor of the message's frame: 0 or -EINVAL. */
int http_check_header(const char *line, struct err *e);

#endif
