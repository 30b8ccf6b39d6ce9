/* http_socket.h - the sockets that libcurl waits for, on the worker's loop. A connection that no
 * transfer uses stays registered for reading: the next request on it costs no system call for that.
 * What comes meanwhile, as a rule its end, takes the registration away; libcurl looks for itself
 * before it uses the connection again.
 * Runs on: worker. Never awaits. Internal to http_multi.c and http_socket.c; the rest of the
 * handler sees http_multi.h. Source: libcurl's CURLMOPT_SOCKETFUNCTION. */
#ifndef WORKER_HANDLER_HTTP_SOCKET_H
#define WORKER_HANDLER_HTTP_SOCKET_H

#include <stdbool.h>
#include <stddef.h>

#include "worker/runtime/loop.h"

/* how: CURL_CSELECT_IN or CURL_CSELECT_OUT. */
typedef void (*http_socket_fn)(void *arg, int fd, int how);

struct http_sockets {
    struct loop *loop; /* borrowed; NULL: nothing was asked for yet */
    http_socket_fn ready;
    void *arg;
    struct http_socket **at; /* by descriptor; NULL: never seen */
    size_t room;
};

/* Frees what it has allocated; no socket is awaited any more. */
void http_sockets_deinit(struct http_sockets *s);

/* what: CURL_POLL_IN, _OUT, _INOUT; CURL_POLL_REMOVE: nothing more. 0, -ENOMEM. */
int http_socket_await(struct http_sockets *s, int fd, int what);
/* From here to its end it is a connection's, and http_socket_close alone closes it. */
void http_socket_keep(struct http_sockets *s, int fd);
bool http_socket_is_kept(const struct http_sockets *s, int fd);
void http_socket_close(struct http_sockets *s, int fd); /* takes fd */

#endif
