/* port.h - a port of 127.0.0.1 for a server that another program is, and that nobody else gets
 * while it is down, starts, or starts again. Runs on: any thread. Never awaits. Errors: negative
 * errno. */
#ifndef TESTS_LIB_PORT_H
#define TESTS_LIB_PORT_H

/* Returns a socket to be closed when the server has ended. It is bound and does not listen, so the
 * kernel gives the port to nobody else, and a server that sets SO_REUSEADDR, as this does, may bind
 * it too: Redis and nginx do. */
int port_hold(int *ret_port);

#endif
