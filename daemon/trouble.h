/* trouble.h - one cause, one line: what Redis refuses at a queue is logged when it begins and when
 * it has ended for good, however many places meet it and however often it comes and goes, by itself
 * or in turn with others. Runs on: master. Never awaits. Units: milliseconds of the monotonic
 * clock. */
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

/* More at once are not told of. */
#define TROUBLE_CAUSES 8

struct cause {
    char code[24];       /* the first word of the error; "": there is none */
    enum trouble_at at;  /* where it was met first */
    unsigned places;     /* bits: where it was met, */
    unsigned over;       /* ... where the last answer was no refusal, */
    unsigned superseded; /* ... where the last answer was another one */
    int64_t since_ms, last_ms;
    uint64_t times;
};

struct trouble {
    struct cause cause[TROUBLE_CAUSES];
};

/* `r` is an error, or an answer of a shape that is not the script's. Logs where the code is a new
 * one, or had given way to others for a minute. */
void trouble_is(struct trouble *t, enum trouble_at at, const char *queue,
                const struct redis_reply *r);
void trouble_over(struct trouble *t, enum trouble_at at);
/* Every look: what is over and did not come again for a while is logged as ended. */
void trouble_look(struct trouble *t, const char *queue);
/* As the log calls it. */
const char *trouble_place(enum trouble_at at);
/* What is refused there; NULL: nothing. */
const char *trouble_code(const struct trouble *t, enum trouble_at at);
/* The first trouble there is, for a status line; NULL: none. */
const char *trouble_any(const struct trouble *t);

#endif
