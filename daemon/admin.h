/* admin.h - the admin socket: where rpopctl asks, and how a command answers.
 * Runs on: master; callbacks on its loop, nothing blocks. Never awaits. Units: milliseconds.
 *
 * A client sends a request (admin_request.h), a line, and gets
 *     {"item": …}                       as many as there are
 *     {"ok": true, …}                   or {"ok": false, "error": sentence}, the last line
 * An empty line in between says that it is still being worked on. Then it may send the next one.
 * The socket belongs to the daemon's user and group, mode 0660. A file <path>.lock beside it, held
 * by flock, says that its daemon lives: a socket without such a daemon is replaced.
 * A client that asks nothing for ADMIN_SILENT_MS, or does not read for so long, is cut; more than
 * ADMIN_CLIENTS at a time are refused. */
#ifndef DAEMON_ADMIN_H
#define DAEMON_ADMIN_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "common/thread.h"
#include "daemon/admin_request.h"

#define ADMIN_CLIENTS 32
#define ADMIN_SILENT_MS 5000

struct admin;
struct master;
struct queue;
struct redis_reply;

/* Listens. Gives; NULL with *e: the path cannot be used. Where another daemon listens there, that
 * is logged, and it is tried again: jobs do not wait for it. */
struct admin *admin_new(struct master *m, struct err *e) RUNS_ON(on_master);
/* Takes; NULL is fine; returns NULL. Calls that wait are resumed and told that their client is
 * gone; those that wait for Redis find that out when they are answered. */
struct admin *admin_free(struct admin *a) RUNS_ON(on_master);

/* The state of every job in flight goes into the log. NULL is fine. */
void admin_report(struct admin *a);

/* ---- for the commands ---- */

/* One request under way. The command that was given it ends it, once, by admin_ok or admin_fail, at
 * any time; it is gone then. */
struct admin_call;
typedef void (*admin_fn)(struct admin_call *c, void *data);

struct master *admin_master(struct admin_call *c);
const struct admin_request *admin_request(const struct admin_call *c);
int64_t admin_uptime_ms(const struct admin_call *c);

/* The client is gone: nobody reads an answer. End it. */
bool admin_gone(const struct admin_call *c);
/* Enough is waiting to be read by the client: go on by admin_resume. */
bool admin_full(const struct admin_call *c);
/* Runs fn once there is room again, in a later turn of the loop, or once the client is gone. */
void admin_resume(struct admin_call *c, admin_fn fn, void *data) RUNS_ON(on_master);
/* The same, and no sooner than in so many milliseconds. */
void admin_later(struct admin_call *c, int64_t ms, admin_fn fn, void *data) RUNS_ON(on_master);

/* A line {"item": item}; takes (NULL, no memory: the client is cut). */
void admin_item(struct admin_call *c, json_t *item);
/* The last line: `more`'s keys (takes; NULL: none) beside "ok": true. */
void admin_ok(struct admin_call *c, json_t *more) RUNS_ON(on_master);
void admin_fail(struct admin_call *c, const char *fmt, ...) RUNS_ON(on_master)
    __attribute__((format(printf, 2, 3)));

/* Fails for what Redis answered; NULL: nothing. */
void admin_refused(struct admin_call *c, const struct redis_reply *r) RUNS_ON(on_master);

/* The request's queue; NULL: there is none of that name, and the call has failed. */
struct queue *admin_queue(struct admin_call *c) RUNS_ON(on_master);
/* Bytes from anywhere as a JSON string; what is not UTF-8 is escaped. Gives; NULL on no memory. */
json_t *admin_text(const char *bytes, size_t len);

/* ---- the commands; each takes its call ---- */

void admin_status(struct admin_call *c) RUNS_ON(on_master);    /* admin_status.c */
void admin_jobs(struct admin_call *c) RUNS_ON(on_master);      /* admin_jobs.c */
void admin_cancel(struct admin_call *c) RUNS_ON(on_master);    /* admin_jobs.c */
void admin_dead_list(struct admin_call *c) RUNS_ON(on_master); /* admin_dead.c */
void admin_dead_show(struct admin_call *c) RUNS_ON(on_master); /* admin_dead.c */
void admin_dead_take(struct admin_call *c) RUNS_ON(on_master); /* admin_dead.c */
void admin_fsck(struct admin_call *c) RUNS_ON(on_master);      /* admin_fsck.c */

#endif
