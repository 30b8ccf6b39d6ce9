/* redis_server.h - a private redis-server for a test: own directory, unix socket, if asked a
 * loopback port. Runs on: any one thread, blocking; the server dies with the thread that started
 * it. Never asserts: failures are told on stderr and by NULL or a negative errno, and the test
 * asserts on its own stack. */
#ifndef TESTS_LIB_REDIS_SERVER_H
#define TESTS_LIB_REDIS_SERVER_H

#include <stdbool.h>
#include <sys/types.h>

struct redisReply; /* hiredis */
struct redis_server;

/* Gives a server that answers PING. `tcp`: also on a free port of 127.0.0.1. `args`: further
 * arguments of redis-server, NULL-terminated, may be NULL ({"--appendonly", "yes", NULL}). Without
 * any it keeps nothing on disk. The directory is below $TMPDIR or /tmp. NULL after 20 s without an
 * answer. */
struct redis_server *redis_server_start(bool tcp, const char *const *args);
/* Takes; SIGKILL, reaps, removes the directory. NULL is fine; returns NULL. */
struct redis_server *redis_server_stop(struct redis_server *s);

const char *redis_server_url(const struct redis_server *s); /* unix:///…/redis.sock */
const char *
redis_server_tcp_url(const struct redis_server *s); /* redis://127.0.0.1:port, "" without tcp */
const char *redis_server_socket(const struct redis_server *s); /* path of the unix socket */
const char *redis_server_dir(const struct redis_server *s); /* dump.rdb, appendonlydir, redis.log */
int redis_server_port(const struct redis_server *s);        /* 0 without tcp */
pid_t redis_server_pid(const struct redis_server *s);       /* 0 while it is killed */

int redis_server_signal(struct redis_server *s,
                        int sig); /* SIGSTOP, SIGCONT, ...; 0 or a negative errno */
void redis_server_kill(
    struct redis_server *s); /* SIGKILL and reap; socket and port refuse from now on */
/* The same server again, same socket, port and directory (its data as far as it was kept). Kills it
 * first where it runs. 0 once it answers PING. `wait` false: returns at once after the spawn (to
 * see LOADING). */
int redis_server_restart(struct redis_server *s, bool wait);

/* Runs one command, formatted as redisCommand does (%s, %b with a size_t length), over a connection
 * of the helper's own. Gives the reply (freeReplyObject); NULL when the connection failed. It logs
 * in with `redis_server_login`. */
struct redisReply *redis_server_run(struct redis_server *s, const char *fmt, ...);
/* The same where the answer is an integer (a status OK counts as 1, nil as 0); -1000000 for
 * anything else. */
long long redis_server_integer(struct redis_server *s, const char *fmt, ...);
/* The same where the answer is text (string, status, error, integer; nil: ""); borrowed until the
 * next call, NULL when the connection failed. */
const char *redis_server_text(struct redis_server *s, const char *fmt, ...);
/* Password of the default user that the helper's own connection gives from now on; NULL: none. */
void redis_server_login(struct redis_server *s, const char *password);

#endif
