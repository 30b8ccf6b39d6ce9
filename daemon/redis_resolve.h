/* redis_resolve.h - the addresses of a name, asked for on a thread of its own: a silent name server
 * holds up nobody. Runs on: master; getaddrinfo alone runs on the thread. One question is out at a
 * time, however often it is asked for: a resolver that hangs costs one thread. The answer comes as
 * a callback on the loop; after redis_resolver_free it comes no more, and the thread, which may
 * outlive even the loop, cleans up behind itself. Never awaits. Source: getaddrinfo(3), RFC 8305
 * (addresses are tried in the order given). */
#ifndef DAEMON_REDIS_RESOLVE_H
#define DAEMON_REDIS_RESOLVE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "common/err.h"
#include "common/thread.h"

struct ev_loop;

#define REDIS_ADDRESSES_MAX 8

struct redis_addresses {
    size_t n;
    struct {
        struct sockaddr_storage addr;
        socklen_t len;
    } at[REDIS_ADDRESSES_MAX];
};

struct redis_resolver;

/* `a` has no address where it failed; then `why` says so. Borrows both. */
typedef void (*redis_resolved_fn)(const struct redis_addresses *a, const struct err *why,
                                  void *data);

/* An address in digits: true, and *ret_addresses holds it. Asks nobody. */
bool redis_resolve_digits(const char *host, uint16_t port, struct redis_addresses *ret_addresses);

/* Gives; NULL on no memory. Borrows loop and data, copies host. */
struct redis_resolver *redis_resolver_new(struct ev_loop *loop, const char *host, uint16_t port,
                                          redis_resolved_fn fn, void *data) RUNS_ON(on_master);
struct redis_resolver *redis_resolver_free(struct redis_resolver *r)
    RUNS_ON(on_master); /* takes; NULL is fine */

/* Asks; joins the question that is out. 0: fn runs once with the answer, later. Negative: no
 * thread, with *e. */
int redis_resolver_ask(struct redis_resolver *r, struct err *e) RUNS_ON(on_master);

#endif
