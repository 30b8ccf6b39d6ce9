/* redis_peer.h - a peer that is no Redis: says what a test wants said, on a unix socket of its own.
 * Runs on: the test's thread, on its loop. Never asserts. */
#ifndef TESTS_LIB_REDIS_PEER_H
#define TESTS_LIB_REDIS_PEER_H

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>

#define PEER_CONNS 64

struct peer_conn {
    struct redis_peer *peer;
    int fd;
    ev_io io;
    int heard;       /* reads that brought bytes */
    const char *say; /* being written */
    size_t left;
};

struct redis_peer {
    struct ev_loop *loop;
    char dir[64], url[96];
    int fd;
    ev_io io;
    bool slam;            /* closes every connection at once */
    const char *greeting; /* said when the first bytes come; NULL: nothing */
    const char *says;     /* said when more comes: says_len bytes, `piece` at a time (0: all) */
    size_t says_len, piece;
    bool close_after; /* then it closes */
    int connects, heard;
    struct peer_conn conns[PEER_CONNS];
};

int redis_peer_open(
    struct redis_peer *p); /* 0 or a negative errno; listens, but hears only once it has a loop */
void redis_peer_attach(struct redis_peer *p, struct ev_loop *loop);
void redis_peer_hang_up(struct redis_peer *p); /* closes every connection */
void redis_peer_close(struct redis_peer *p);   /* before the loop is destroyed */

#endif
