/* trouble.h - one cause, one line: what Redis refuses at a queue is logged when it begins, when it
 * changes and when it has ended for good, however many places meet it and however often it comes
 * and goes. Runs on: master. Never awaits. Units: milliseconds of the monotonic clock. */
#ifndef DAEMON_TROUBLE_H
#define DAEMON_TROUBLE_H

#include <stdbool.h>
#include <stdint.h>

struct redis_reply;

enum trouble_at {
    TROUBLE_OWNER,
    TROUBLE_CLAIM,
    TROUBLE_POP,
    TROUBLE_SETTLE,
    TROUBLE_DELIVER,
    TROUBLE_RECOVER,
    TROUBLE_DUE,
    TROUBLE_DELAYED,
    TROUBLE_PLACES
};

struct trouble {
    struct {
        char code[24]; /* the first word of the error; "": all is well */
        bool told;     /* it was logged from here: another place did not have the same */
        bool over;     /* the last answer was none */
        int64_t since_ms, last_ms;
        uint64_t times;
    } at[TROUBLE_PLACES];
};

/* `r` is an error, or an answer of a shape that is not the script's. Logs where the code is a new
 * one. */
void trouble_is(struct trouble *t, enum trouble_at at, const char *queue,
                const struct redis_reply *r);
void trouble_over(struct trouble *t, enum trouble_at at);
/* Every look: what is over and did not come again for a while is logged as ended. */
void trouble_look(struct trouble *t, const char *queue);
/* As the log calls it. */
const char *trouble_place(enum trouble_at at);
/* The first trouble there is, for a status line; NULL: none. */
const char *trouble_any(const struct trouble *t);

#endif
