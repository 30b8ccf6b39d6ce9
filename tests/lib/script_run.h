/* script_run.h - runs the Redis scripts of daemon/lua/ and shows what they answer and leave.
 * Runs on: the test's thread, blocking. Never asserts: a failed connection is the answer "(no
 * connection)". A script runs as a user who may reach the keys that the script declares and no
 * other, so an undeclared one is found. Texts that are given are borrowed until the eighth call
 * after it. */
#ifndef TESTS_LIB_SCRIPT_RUN_H
#define TESTS_LIB_SCRIPT_RUN_H

struct scripts;

/* Setup and teardown of a group and, for each test, the empty server: *state is the scripts. */
int scripts_begin(void **state);
int scripts_end(void **state);
int scripts_clear(void **state);

/* Runs daemon/lua/<name>.lua. `keys`: their names, blanks between; `args`: with | between ("":
 * none). Gives the answer in one line: [ok 3 text nil], -CODE text for an error, <1048576> for what
 * is longer than 120 bytes. */
const char *script_run(struct scripts *s, const char *name, const char *keys, const char *args);

/* A command that the user of script_run may not run, until scripts_clear; NULL: may run all. */
void script_refuse(struct scripts *s, const char *command);
/* The same for a key: from the next run on it is not among those that may be reached; NULL: none.
 */
void script_hide(struct scripts *s, const char *key);

/* A command of the administrator, with | between the words, or blanks where there is no |; the
 * answer in the same form. */
const char *redis_run(struct scripts *s, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* Everything that is in Redis, sorted: list=[left right] hash={field:value} zset=(member) text="v"
 * bits=<0,5> for keys whose name begins with `acked`; numbers of 13 and more digits as T; `~`
 * behind a key that will expire. */
const char *redis_dump(struct scripts *s);

#endif
