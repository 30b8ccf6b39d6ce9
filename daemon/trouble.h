/* trouble.h - one cause, one line: what Redis refuses at a queue is logged when it begins, when it
 * changes and when it ends. Runs on: master. Never awaits. */
#ifndef DAEMON_TROUBLE_H
#define DAEMON_TROUBLE_H

#include <stdint.h>

struct redis_reply;

enum trouble_at {
    TROUBLE_OWNER,
    TROUBLE_CLAIM,
    TROUBLE_POP,
    TROUBLE_SETTLE,
    TROUBLE_RECOVER,
    TROUBLE_PLACES
};

struct trouble {
    struct {
        char code[24]; /* the first word of the error; "": all is well */
        int64_t since_ms;
        uint64_t times;
    } at[TROUBLE_PLACES];
};

/* `r` is an error, or an answer of a shape that is not the script's. Logs where the code is a new
 * one. */
void trouble_is(struct trouble *t, enum trouble_at at, const char *queue,
                const struct redis_reply *r);
void trouble_over(struct trouble *t, enum trouble_at at, const char *queue);
/* The first trouble there is, for a status line; NULL: none. */
const char *trouble_any(const struct trouble *t);

#endif
