/* proxy.h - faultproxy.py from a test: stands between the daemon and Redis and breaks one
 * connection at an exact command. Runs on: the test's only thread. Errors end the test. What can be
 * broken stands in the program's own first lines. */
#ifndef TESTS_E2E_PROXY_H
#define TESTS_E2E_PROXY_H

struct proxy;

struct proxy *proxy_new(const char *folder,
                        const char *upstream);     /* gives; it listens; paths of unix sockets */
struct proxy *proxy_new_tcp(const char *upstream); /* the same at a port of 127.0.0.1 */
struct proxy *proxy_free(struct proxy *p);         /* takes; NULL is fine; returns NULL */
const char *proxy_url(const struct proxy *p);      /* unix://… or redis://…; borrowed */

struct proxy_counts {
    unsigned commands, hits; /* since it was armed before */
};
/* Sends a line such as "cut-after 7" or "none"; from now on that counts. */
struct proxy_counts proxy_arm(struct proxy *p, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

#endif
