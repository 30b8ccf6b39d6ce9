/* deaf.h - a path that is dead below the sockets: what comes to a process from or to one TCP port
 * is dropped by the kernel before it is acknowledged, as if the cable were cut in that direction;
 * or a part of it is. Runs on: the test's only thread. Never awaits. Sockets that come later are
 * not touched, except those that a listening one accepts. */
#ifndef TESTS_E2E_DEAF_H
#define TESTS_E2E_DEAF_H

#include <sys/types.h>

/* percent: of the packets that are dropped, 0: none any more. Returns how many sockets of pid that
 * are, or a negative errno: -EPERM and -ENOSYS where the system does not let us. */
int deaf(pid_t pid, int port, unsigned percent);

/* A network of this process' own with nothing but a loopback, for what it starts from now on. 0 or
 * a negative errno. */
int deaf_own_network(void);
/* Its cable is out, or in again. */
int deaf_cable(int in);

#endif
