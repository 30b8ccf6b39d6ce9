/* admin_fsck.h - what fsck says of Redis: its findings. The walk is admin_fsck.c's.
 * Runs on: master. Never awaits. */
#ifndef DAEMON_ADMIN_FSCK_H
#define DAEMON_ADMIN_FSCK_H

#include <jansson.h>
#include <stdbool.h>

/* Gives {"kind", "queue", "key", "what", "repair", "repaired"}: a finding by its name, which the
 * scripts answer; NULL on no memory. detail may be "". *ret_repaired tells whether it was. */
json_t *finding_json(const char *kind, const char *queue, const char *key, const char *detail,
                     bool repair, bool *ret_repaired);

#endif
