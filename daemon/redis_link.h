/* redis_link.h - what the files of the door share: redis.c (server), redis_link.c (a link's life),
 * redis_greet.c (its first words), redis_pipe.c (what goes over it). Nobody else includes it; the
 * contract is redis.h. Runs on: master. Never awaits. */
#ifndef DAEMON_REDIS_LINK_H
#define DAEMON_REDIS_LINK_H

#include <ev.h>

#include "common/url.h"
#include "daemon/redis.h"
#include "daemon/redis_command.h"
#include "daemon/redis_reply.h"
#include "daemon/redis_resolve.h"

/*              +------------------------ backoff ------------------------+
 *              v                                                         |
 *   IDLE -> RESOLVING -> CONNECTING -> GREETING -> UP                    |
 *              |             |             |        |   any failure      |
 *              +-------------+-------------+--------+---------------> DOWN
 */
enum link_state {
    LINK_IDLE,       /* new: begins in the next turn of the loop */
    LINK_RESOLVING,  /* the name is asked for; addresses in digits and paths pass at once */
    LINK_CONNECTING, /* one address after the other */
    LINK_GREETING,   /* AUTH, SELECT, CLIENT SETNAME, PING are out */
    LINK_UP,         /* callers' commands */
    LINK_DOWN,       /* waits for its backoff */
    LINK_STATES
};

struct request {
    struct request *next;
    char *wire; /* as it was formatted; NULL once written and of no further use */
    size_t len;
    size_t written;                    /* of all its pieces */
    const struct redis_script *script; /* may be sent again as EVAL */
    struct redis_eval *eval;           /* it is: head, script, tail of wire */
    redis_fn fn;
    void *data;
    int64_t timeout_ms;
    int64_t at_ms; /* sent, or last written to the socket */
};

struct redis_link {
    struct redis *server;
    struct redis_link *next;       /* of the server's */
    struct redis_link *next_dirty; /* of those with something to write */
    char *name;
    const struct redis_events *events;
    void *data;
    redis_fn listen; /* for messages; NULL: there may be none */
    enum link_state state;
    bool was_up, lost, dirty, freed;
    bool finishing;      /* our side of the connection is closed */
    bool finished;       /* ... and then the server's was */
    int busy;            /* callbacks on the stack: the link outlives them */
    uint64_t cuts;       /* redis_link_cuts */
    uint64_t generation; /* grows with each connection that ends */
    int fd;
    ev_io readable, writable;
    ev_timer timer;
    int64_t timer_ms;  /* when it fires; INT64_MAX: not set */
    unsigned failures; /* in a row, for the backoff */
    bool called;       /* another came up since this one was last of use */
    size_t address;    /* which of the server's is tried */
    int64_t connect_by_ms;
    struct err connect_error; /* of the last address */

    struct request *head, *tail, *unsent; /* oldest unanswered, newest, first not wholly written */
    size_t count;                         /* requests */
    size_t output;                        /* bytes of their wires */
    int64_t answered_ms;                  /* the last answer */
    size_t received;                      /* bytes since then */
    struct redis_reader *reader;
    char held[32]; /* the end of what was read, too short to be understood */
    size_t held_len;
};

#define REDIS_IN_BYTES ((size_t)128 << 10)

struct redis {
    struct ev_loop *loop;
    struct url url;
    char address[URL_TEXT_MAX];
    char *username, *password, *client_name;
    int64_t connect_timeout_ms, command_timeout_ms;
    size_t max_bulk;
    bool asks; /* addresses come from a name server */
    struct redis_addresses addresses;
    struct redis_resolver *resolver;
    ev_prepare turn;
    struct redis_link *links, *dirty;
    struct redis_link *scout; /* asks a server that reads its data; NULL: none does */
    char in[sizeof((struct redis_link *)0)->held + REDIS_IN_BYTES]; /* what is being read */

    size_t lost; /* links that failed and have not come back */
    int64_t lost_ms;
    bool refusal_logged, cause_logged, ever_connected;
    uint64_t reconnects, progress;
    char trouble[ERR_TEXT_MAX];
};

/* redis.c: what an operator is told. */
void redis_link_is_lost(struct redis_link *l, const struct err *why, bool refused);
void redis_link_is_back(struct redis_link *l);
void redis_link_is_gone(struct redis_link *l); /* it is being freed */

/* redis_link.c */
void redis_link_resolved(struct redis_link *l, const struct err *why);
/* The connection has ended: pending commands run with NULL, then events, then backoff. The link may
 * be freed by then unless the caller holds it. */
void redis_link_fail(struct redis_link *l, const struct err *why, bool refused);
void redis_link_greeted(struct redis_link *l); /* it is up */
void redis_link_timer(struct redis_link *l, int64_t at_ms);
void redis_link_hold(struct redis_link *l);
void redis_link_release(struct redis_link *l); /* frees it where it was asked for meanwhile */

/* redis_greet.c: the server's answers end in redis_link_greeted or redis_link_fail. -ENOMEM */
int redis_greet(struct redis_link *l);

/* redis_pipe.c */
int redis_pipe_add(struct redis_link *l, const struct redis_command *c, int64_t timeout_ms,
                   redis_fn fn, void *data);
void redis_pipe_drop(struct redis_link *l);    /* all that is pending runs with NULL */
void redis_pipe_flush(struct redis_link *l);   /* one write, or the link fails */
void redis_pipe_read(struct redis_link *l);    /* what is there: answers run, or the link fails */
void redis_pipe_overdue(struct redis_link *l); /* the timer fired */

#endif
