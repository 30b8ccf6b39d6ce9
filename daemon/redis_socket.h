/* redis_socket.h - the socket of a link: opened without blocking, and set so that a dead path is
 * noticed. Runs on: master. Never awaits. Errors: a negative errno and a sentence that names the
 * address. A path that swallows everything is noticed within 6 s: an idle one by keepalive (2 s,
 * then 3 probes a second apart), one with unacknowledged bytes by TCP_USER_TIMEOUT. Source: tcp(7),
 * unix(7). */
#ifndef DAEMON_REDIS_SOCKET_H
#define DAEMON_REDIS_SOCKET_H

#include <sys/socket.h>

#include "common/err.h"

/* Gives a descriptor whose connection is under way: it turns writable when that has come to an end.
 */
int redis_socket_open(const struct sockaddr *addr, socklen_t len, struct err *e);
/* How the connecting of `fd` ended: 0 or its error. */
int redis_socket_opened(int fd, const struct sockaddr *addr, socklen_t len, struct err *e);

#define REDIS_SOCKET_TEXT_MAX 128
/* "127.0.0.1:6379", "[::1]:6379", "/run/redis.sock"; returns out. */
const char *redis_socket_text(const struct sockaddr *addr, socklen_t len,
                              char out[REDIS_SOCKET_TEXT_MAX]);

#endif
