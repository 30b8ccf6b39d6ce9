/* admin_client.h - one client of the admin socket, and the call that it waits for. Internal to
 * admin*.c; the contract is admin.h.
 * Runs on: master. Never awaits. A client has one request at a time, and while one is answered
 * nothing is read from it, so what it can make the daemon keep is one line in, and what a command
 * queues before it looks at admin_full. */
#ifndef DAEMON_ADMIN_CLIENT_H
#define DAEMON_ADMIN_CLIENT_H

#include <ev.h>

#include "daemon/admin.h"
#include "daemon/admin_jobs.h"
#include "daemon/admin_socket.h"

struct buffer {
    char *at;
    size_t len, size;
};

struct admin {
    struct master *master;
    struct admin_client *clients;
    unsigned nclients;
    int64_t since_ms;
    struct admin_socket socket;
    ev_io acceptable;
    ev_timer again;
    struct jobs_report report;
    bool told; /* that another daemon listens there */
};

struct admin_client {
    struct admin *admin;
    struct admin_client *next, **at; /* of the admin's */
    int fd;
    ev_io readable, writable;
    ev_timer quiet;
    struct buffer in, out;
    size_t written; /* of out */
    struct admin_call *call;
    bool last; /* no more requests: it has closed its side, or sent too much */
    bool cut;  /* no memory to answer it */
};

struct admin_call {
    struct admin_client *client; /* NULL: it is gone */
    struct master *master;
    struct admin_request request;
    int64_t uptime_ms;
    admin_fn fn; /* where it goes on; NULL: it does not wait for us */
    void *data;
    ev_timer timer;
};

/* Takes fd. 0, or -ENOMEM and fd is still the caller's. */
int admin_client_new(struct admin *a, int fd);
/* Its call goes on without it. */
void admin_client_free(struct admin_client *c);
/* Queues a line; takes (NULL, no memory: the client is cut). */
void admin_client_say(struct admin_client *c, json_t *line);
void admin_client_refuse(struct admin_client *c, const char *sentence);

/* admin_call.c. Takes the request. 0 or -ENOMEM. */
int admin_call_begin(struct admin_client *client, struct admin_request *request) RUNS_ON(on_master);
void admin_call_go_on(struct admin_call *c);

#endif
