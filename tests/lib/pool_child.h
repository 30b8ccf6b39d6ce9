/* pool_child.h - a child of a pool that does what its payloads say. A test program that is called
 * with POOL_CHILD as its only argument becomes one. Runs on: a process of its own. Never awaits.
 *
 *     ok …           done; the result is the payload     retry S    to be tried again in S s
 *     sleep MS       done, after that time               dead TEXT  dead, for that reason
 *     grow BYTES     done, with so much more memory      err TEXT   done; writes it to 2
 *     exit N, signal N                                   babble TEXT  writes that, and no answer
 *     hang, tree     never ends; with a grandchild that ignores TERM and holds 1
 *     wrong-id, large, surplus, close,                    breaks the protocol in that way
 *     endless, late
 * POOL_CHILD_EARLY bytes of anything: answers before it has read them
 *
 * $POOL_CHILD_LOG names a file that gets a line `<pid> <what>` for each start, payload and end of
 * file. $POOL_CHILD_START says how it begins: `sleep MS`, or `fail` (writes a line, exit 3). */
#ifndef TESTS_LIB_POOL_CHILD_H
#define TESTS_LIB_POOL_CHILD_H

#define POOL_CHILD "pool-child"
#define POOL_CHILD_EARLY 1000000 /* more than a pipe holds */

/* Does not return where the program was called so. */
void pool_child_main(int argc, char *const argv[]);

#endif
