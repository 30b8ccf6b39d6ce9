/* pool_child.h - a child of a pool that does what its payloads say. A test program that is called
 * with POOL_CHILD as its only argument becomes one. Runs on: a process of its own. Never awaits.
 *
 *     ok …           done; the result is the payload     retry S    to be tried again in S s
 *     sleep MS       done, after that time               dead TEXT  dead, for that reason
 *     grow BYTES     done, with so much more memory      err TEXT   done; writes it to 2
 *     length         done; writes it to 2                meet N FOLDER  done, once N processes do
 *     exit N, signal N                                   babble TEXT  writes that, and no answer
 *     flood MIB      dead; so much of it, in lines, to 2
 *     hang, tree     never ends; with a grandchild that ignores TERM and holds 1
 *     wrong-id, large, surplus, close,                    breaks the protocol in that way
 *     endless, late
 * POOL_CHILD_EARLY bytes of anything: answers before it has read them
 *
 * hang-hard: as hang, and ignores TERM. stay: done, then likewise.
 *
 * $POOL_CHILD_LOG names a file that gets a line `<pid> <what>` for each start, payload and end of
 * file. $POOL_CHILD_START says how it begins: `sleep MS`, or `fail` (writes a line, exit 3);
 * with $POOL_CHILD_END it writes half a megabyte to 2 at its end. */
#ifndef TESTS_LIB_POOL_CHILD_H
#define TESTS_LIB_POOL_CHILD_H

#include <stdbool.h>
#include <sys/types.h>

#define POOL_CHILD "pool-child"
#define POOL_CHILD_EARLY 1000000 /* more than a pipe holds */

/* Does not return where the program was called so. */
void pool_child_main(int argc, char *const argv[]);

/* ---- in the test ---- */
/* How many lines of $POOL_CHILD_LOG tell this; *ret_pid (NULL is fine): who told the last one. */
unsigned pool_child_told(const char *what, pid_t *ret_pid);
bool pool_child_gone(pid_t pid); /* it has ended; it may not have been reaped */
/* The words of a `command` setting that makes a child of this program: "path", "pool-child". */
#define POOL_CHILD_COMMAND_MAX 600
const char *pool_child_command(char out[POOL_CHILD_COMMAND_MAX]);

#endif
