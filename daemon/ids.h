/* ids.h - job ids that were seen, and where: finds the one that is seen twice.
 * Runs on: any one thread. Never awaits. Errors: NULL, -ENOMEM. Memory is bounded however many
 * ids there are: they are known by a hash of 64 bits, and where the table is full, or no memory is
 * left for a larger one, it keeps the lower half of the hashes that it took; the rest is a further
 * round's. Two ids of one hash are told as one: who asks compares the ids. */
#ifndef DAEMON_IDS_H
#define DAEMON_IDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ids;

struct id_place { /* the caller's words */
    uint32_t where;
    double at;
};

/* Up to so many slots of 24 bytes, a power of two; half as many more while it grows. Three in four
 * are taken. Gives. */
struct ids *ids_new(size_t max_slots);
struct ids *ids_free(struct ids *s); /* takes; NULL is fine; returns NULL */

/* 1: it was put before in this round, and *ret_first is the place it was put with. 0: it is kept,
 * or is another round's. */
int ids_put(struct ids *s, const char *id, size_t len, struct id_place place,
            struct id_place *ret_first);
/* Empties it for the next round; false: every id was taken, and the next would begin anew. */
bool ids_next_round(struct ids *s);

#endif
