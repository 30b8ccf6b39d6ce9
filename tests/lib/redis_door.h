/* redis_door.h - a loop with one link of the door on it, and counters of its events, for tests.
 * Runs on: the test's thread, which it names the master. Never asserts. */
#ifndef TESTS_LIB_REDIS_DOOR_H
#define TESTS_LIB_REDIS_DOOR_H

#include <ev.h>

#include "daemon/redis.h"
#include "tests/lib/redis_server.h"

struct door {
    struct ev_loop *loop;
    struct redis *redis;
    struct redis_link *link;
    struct redis_command *command;
    ev_timer tick;
    int ups, downs, refusals;
    struct err why; /* of the last down or refusal */
    void (*on_up)(struct door *d);
};

struct redis_options door_options(const char *url); /* the defaults of the tests: 2 s, 1 MiB */
/* Opens a loop, a server and its link "test". 0, or a negative errno. */
int door_open(struct door *d, const struct redis_options *o);
void door_close(struct door *d);
void door_reset(struct door *d); /* redis_link_reset */

/* Turns the loop until `*count` is at least `n`. false: not within two minutes. */
bool door_until(struct door *d, const int *count, int n);
void door_turn(struct door *d, int64_t ms); /* turns the loop for so long */

/* What came back for commands that door_send sent: counted, the last one rendered as redis-cli
 * would in one line. */
struct answers {
    int count, nulls, errors;
    char last[128];
    size_t len; /* of the last string */
};
/* Sends a command of `words`, NULL-terminated. */
int door_send(struct door *d, struct answers *a, int64_t timeout_ms, const char *const *words);
void door_answer(struct redis_link *link, const struct redis_reply *r,
                 void *answers); /* a redis_fn */
#define DOOR_SEND(d, a, ...) door_send((d), (a), 0, (const char *const[]){__VA_ARGS__, NULL})

/* A server and a door to it: *state for cmocka. */
struct world {
    struct redis_server *server;
    struct door door;
    struct answers a;
};
int world_begin_with(void **state, bool tcp,
                     const char *const *args); /* the server alone: redis_server_start */
int world_begin(void **state);                 /* and a door to its unix socket; with tcp */
int world_end(void **state);

#define UNTIL(w, count, n) assert_true(door_until(&(w)->door, &(w)->count, (n)))

#endif
