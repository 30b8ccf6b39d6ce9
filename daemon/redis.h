/* redis.h - the only door to Redis: links, commands, scripts, replies.
 * Runs on: master. Never awaits; answers come as callbacks on the loop that redis_new was given.
 * Over non-blocking sockets of our own; hiredis formats commands and reads replies. Every byte from
 * the server passes a framing scan first (resp.h): lengths and depth are checked before a reply is
 * built, a bulk over `max_bulk` is drained and comes as REDIS_LARGE, a reply of more than max_bulk
 * + 16 MiB in all is a cut, so memory is bounded whatever the server says. Units: milliseconds of
 * the monotonic clock. Errors: `struct err` for people, a cut for programs. Source: the Redis
 * serialization protocol, version 2. A command is sent at most once: after a cut nobody knows
 * whether what was sent has run. */
#ifndef DAEMON_REDIS_H
#define DAEMON_REDIS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/thread.h"

struct ev_loop;
struct redis;
struct redis_link;

/* Replies ------------------------------------------------------------------------------------- */

enum redis_type {
    REDIS_NIL,
    REDIS_STATUS,
    REDIS_ERROR,
    REDIS_INTEGER,
    REDIS_STRING,
    REDIS_LARGE, /* a string over max_bulk: `len` says how long, str is NULL, the bytes were drained
                  */
    REDIS_ARRAY,
};

struct redis_reply {
    enum redis_type type;
    int64_t integer;          /* REDIS_INTEGER */
    char *str;                /* status, error, string: len bytes and a NUL behind them */
    size_t len;               /* of str; REDIS_LARGE: the length that was announced */
    struct redis_reply *item; /* array: n replies in a row */
    size_t n;
};

/* An element of a list, also one too large to be read. */
bool redis_is_payload(const struct redis_reply *r);
/* An error reply whose first word is `code` ("NOSCRIPT", "OOM", ...); false for NULL. */
bool redis_is_error(const struct redis_reply *r, const char *code);
/* An argument was larger than the server takes (proto-max-bulk-len): it has closed the connection,
 * and will each time. */
bool redis_is_too_large(const struct redis_reply *r);
/* A status or string equal to `text`; false for NULL. */
bool redis_is(const struct redis_reply *r, const char *text);

/* Runs once for each command, in the order of sending (but see redis_begin_script). r NULL: the
 * link was cut before the answer, and the command may or may not have run. Borrows r. It may send,
 * close or free any link but must not free the `struct redis`. */
typedef void (*redis_fn)(struct redis_link *link, const struct redis_reply *r, void *data);

/* Servers ------------------------------------------------------------------------------------- */

struct redis_options {
    const char *url;         /* redis://[user[:password]@]host[:port][/db] or unix:///path[?db=n] */
    const char *username;    /* "": none; over the one in the url */
    const char *password;    /* "": none; over the one in the url; never logged */
    const char *client_name; /* CLIENT SETNAME <client_name>:<link name> */
    int64_t connect_timeout_ms;
    int64_t command_timeout_ms;
    size_t max_bulk; /* bytes of one string in a reply that are kept */
};

/* Gives; NULL with *e. Copies the options, opens nothing yet. Borrows the loop. */
struct redis *redis_new(struct ev_loop *loop, const struct redis_options *o, struct err *e)
    RUNS_ON(on_master);
/* Takes; frees what links are left, their pending callbacks run with NULL. NULL is fine; returns
 * NULL. */
struct redis *redis_free(struct redis *r) RUNS_ON(on_master);

/* What an operator is told: the address without secrets, and the last failure ("" while all is
 * well). */
const char *redis_address(const struct redis *r);
const char *redis_trouble(const struct redis *r);
bool redis_ever_connected(const struct redis *r); /* some link was up once */
uint64_t redis_reconnects(const struct redis *r);
uint64_t
redis_progress(const struct redis *r); /* grows with every answer and every failed attempt */

/* Links --------------------------------------------------------------------------------------- */

struct redis_events {
    /* The link is up: connected, authenticated, database selected. Sent commands of before are
     * gone. */
    void (*up)(struct redis_link *link, void *data);
    /* It was up and was cut, after the callbacks of its pending commands have run with NULL; it
     * comes back by itself unless it was closed. Not called by redis_link_free and
     * redis_link_reset. */
    void (*down)(struct redis_link *link, const struct err *why, void *data);
    /* The server refused the greeting for good: NOAUTH, WRONGPASS, NOPERM. It is tried again with
     * backoff. */
    void (*refused)(struct redis_link *link, const struct err *why, void *data);
};

/* Gives; NULL on no memory. Connects by itself in the next turn of the loop, and again after every
 * cut: backoff from 50 ms doubling to 5 s, full jitter, back to the start after an answer to a
 * command, and where another link comes up. A server that is LOADING is asked by one of its links
 * twice a second or more. Name resolution runs on a thread of its own. `ev` and `data` are
 * borrowed. One cause is logged once for the whole server. What a user must be granted for it:
 * AUTH, SELECT (of a database other than 0), PING; CLIENT SETNAME is tried and done without. */
struct redis_link *redis_link_new(struct redis *r, const char *name, const struct redis_events *ev,
                                  void *data) RUNS_ON(on_master);
struct redis_link *redis_link_free(struct redis_link *l)
    RUNS_ON(on_master); /* takes; pending run with NULL */
bool redis_link_up(const struct redis_link *l);
uint64_t redis_link_cuts(const struct redis_link *l); /* grows by one at each cut or close */
/* Drops the connection as if it had been cut (pending run with NULL, no `down`) and opens it anew
 * at once. */
void redis_link_reset(struct redis_link *l) RUNS_ON(on_master);
/* Sends nothing more: what the server has written by then is answered, what it has not carried out
 * is not, and then it closes, upon which the link is as after redis_link_reset. Until then it is
 * not up. An answer that found no room in the server's socket is dropped: who waits for one that is
 * due leaves the server time for it first. Does nothing while a command or an answer is half on its
 * way: to be repeated. */
void redis_link_finish(struct redis_link *l) RUNS_ON(on_master);
/* In a callback with NULL: the link ended so; else it was cut, and what was sent may have run. */
bool redis_link_finished(const struct redis_link *l);

/* Over l the server may also speak unasked, once SUBSCRIBE was sent: fn gets each `message` that
 * arrives, an array of three, with the link's data. Anything else must answer a command, on this
 * link as on every other. */
void redis_link_listen(struct redis_link *l, redis_fn fn) RUNS_ON(on_master);

/* Commands: built in place, then sent --------------------------------------------------------- */

struct redis_script { /* a file of daemon/lua/, built in */
    const char *name;
    const char *text;
    size_t len;
    char sha[41];
};

/* A command under construction; arguments are copied on sending, so what is added is only borrowed.
 * Reuse it by redis_begin. Room grows by itself; no memory is told by redis_send. */
struct redis_command;
struct redis_command *redis_command_new(void); /* gives; NULL on no memory */
struct redis_command *redis_command_free(struct redis_command *c);
void redis_begin(struct redis_command *c, const char *word);
/* EVALSHA; on NOSCRIPT the door sends the same again as EVAL, and fn sees only the final answer
 * (NOSCRIPT itself only where no memory is left). What was sent behind it has run by then and is
 * answered before it. `nkeys` keys follow, then the arguments. */
void redis_begin_script(struct redis_command *c, const struct redis_script *s, unsigned nkeys);
void redis_arg(struct redis_command *c, const void *bytes, size_t len);
void redis_arg_text(struct redis_command *c, const char *text);
void redis_arg_int(struct redis_command *c, int64_t n);

/* Bytes of commands that a link keeps, not yet written or to be sent again, and takes another: one
 * of any size, which small ones before it do not keep out. */
#define REDIS_OUTPUT_MAX ((size_t)64 << 20)
#define REDIS_PENDING_MAX 1048576 /* commands a link waits for */

/* Queues the command; one write at the end of the loop's turn carries all that was sent in it.
 * Answer within timeout_ms (0: command_timeout_ms) of the answer before it, or of the writing, else
 * the link is cut; an answer that is coming gets a second more for every 4 KiB of it. fn may be
 * NULL. 0; or fn never runs: -ENOTCONN where the link is not up; -ENOMEM; -ENOBUFS where the link
 * is full (try again after an answer); -EMSGSIZE for over 1 GiB of arguments. */
int redis_send(struct redis_link *l, struct redis_command *c, int64_t timeout_ms, redis_fn fn,
               void *data) RUNS_ON(on_master);

#endif
