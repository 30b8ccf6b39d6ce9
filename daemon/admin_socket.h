/* admin_socket.h - the listening socket of admin.h and the proof that its daemon lives.
 * Runs on: any thread. Never awaits. Errors: negative errno with a sentence. */
#ifndef DAEMON_ADMIN_SOCKET_H
#define DAEMON_ADMIN_SOCKET_H

#include "common/err.h"

struct admin_socket {
    int fd;   /* listens, non-blocking; -1: not open */
    int lock; /* of <path>.lock, held for as long as the socket is ours; -1: not held */
};

/* Locks <path>.lock, replaces the socket of a daemon that is dead, and listens. -EADDRINUSE:
 * another daemon listens there. On an error nothing is open. */
int admin_socket_open(struct admin_socket *s, const char *path, struct err *e);
/* Removes the socket where it is ours; the lock file stays. */
void admin_socket_close(struct admin_socket *s, const char *path);

#endif
