/* admin_request.h - one request to the admin socket: a JSON object in a line.
 *   {"command": "dead-list", "queue": "mail", "limit": 20}
 * Runs on: any thread. Never awaits. Errors: -EINVAL with a sentence that names the value and what
 * is allowed, -ENOMEM. The bytes are a stranger's: whatever they are, they are refused or
 * understood. A key that the command does not take is a mistake, not ignored. */
#ifndef DAEMON_ADMIN_REQUEST_H
#define DAEMON_ADMIN_REQUEST_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"

#define ADMIN_REQUEST_MAX ((size_t)1 << 20) /* bytes of a line, without its end */
#define ADMIN_LIMIT_MAX 1000000

enum admin_command {
    ADMIN_STATUS,
    ADMIN_JOBS,
    ADMIN_CANCEL,
    ADMIN_DEAD_LIST,
    ADMIN_DEAD_SHOW,
    ADMIN_DEAD_RETRY,
    ADMIN_DEAD_DROP,
    ADMIN_FSCK,
    ADMIN_COMMANDS
};

struct admin_request {
    enum admin_command command;
    const char *queue, *id; /* "" where none is given; valid until admin_request_clear */
    long limit;             /* 0: none is given */
    bool all, repair;
    json_t *json;
};

/* Reads len bytes. 0, and *ret is cleared with admin_request_clear. */
int admin_request_parse(const char *text, size_t len, struct admin_request *ret, struct err *e);
void admin_request_clear(struct admin_request *r);
const char *admin_command_name(enum admin_command c);

#endif
