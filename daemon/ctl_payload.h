/* ctl_payload.h - a payload that comes in pieces of base64, as rpopctl prints it.
 * Runs on: the only thread of rpopctl. Never awaits. Errors: no memory ends the program. Source:
 * RFC 4648, section 4. */
#ifndef DAEMON_CTL_PAYLOAD_H
#define DAEMON_CTL_PAYLOAD_H

#include <jansson.h>
#include <stdio.h>

struct payload {
    char *bytes; /* and a NUL */
    size_t len, size;
};

/* Adds what the text stands for; -EINVAL where it is no base64. */
int payload_add(struct payload *p, const char *base64);
/* "payload" where it is valid UTF-8, else "payload_base64". */
void payload_to_json(const struct payload *p, json_t *o);
void payload_clear(struct payload *p);

#endif
