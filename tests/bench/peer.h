/* peer.h - figures of other runtimes, measured in the same run where they are installed: CPython's
 * asyncio, uvloop, Go (peers.py and peers.go, found from the root of the source).
 * Runs on: any thread; blocks. Source: their own programs, with one figure a line. */
#ifndef TESTS_BENCH_PEER_H
#define TESTS_BENCH_PEER_H

#include <stddef.h>

enum peer { PEER_ASYNCIO, PEER_UVLOOP, PEER_GO, PEERS };

const char *peer_name(enum peer p);
/* Up to `room` figures of `what` ("switch", "submit", "trip"); how many: 0 where it is not there.
 */
size_t peer_measure(enum peer p, const char *what, double *ret_figures, size_t room);

#endif
