/* bare.h - what a client without a daemon reaches on the same server: blocking hiredis, pipelined.
 * Runs on: the benchmark's thread (bare_latency starts one more). Errors end the program with a
 * sentence. Units: nanoseconds. Source: the scripts of daemon/lua/, as the daemon sends them. */
#ifndef TESTS_BENCH_BARE_H
#define TESTS_BENCH_BARE_H

#include <stdint.h>

#define BARE_QUEUE "bench"

struct redisContext;

/* Gives a blocking connection. */
struct redisContext *bare_connect(const char *socket);
/* Pushes `jobs` payloads of 16 bytes. */
void bare_push(struct redisContext *c, uint32_t jobs);

/* The daemon's own operations: the claim script for `burst` jobs at a time, two outstanding, and
 * for each batch the script that settles it whole. Returns the time to the last answer. */
int64_t bare_drain(struct redisContext *c, uint32_t jobs, uint32_t burst);
/* LMOVE of `burst` jobs in one pipeline and one UNLINK of what they were moved to: no owner, no
 * entry, no counter. */
int64_t bare_drain_lmove(struct redisContext *c, uint32_t jobs, uint32_t burst);

/* Waits until `n` clients are blocked: a pop is out. */
void bare_await_blocked(struct redisContext *c, long long n);
/* Pushes one job and waits for `line` on `fd`: from before the push to after the read. */
int64_t bare_push_until(struct redisContext *c, const char *payload, int fd, const char *line);
/* The same for `n` jobs, where a thread with BLPOP and a write(2) stands in for the daemon. */
void bare_latency(struct redisContext *c, const char *socket, int64_t *ret_ns, uint32_t n);

#endif
