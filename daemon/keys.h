/* keys.h - the names of a queue's keys in Redis.
 * Runs on: any thread. Never awaits. Errors: NULL on no memory.
 * `Q` belongs to the user; all else is rpopd:{Q}:..., so that one queue is one Cluster slot. Where
 * Q holds a hash tag of its own the prefix is rpopd:t<length of Q>:Q:.... Two different queue names
 * never share a key. */
#ifndef DAEMON_KEYS_H
#define DAEMON_KEYS_H

#include <stdbool.h>
#include <stddef.h>

struct keys {
    char *queue;  /* Q itself */
    char *prefix; /* rpopd:{Q}: */
    char *none;   /* never exists: its UNLINK lifts OOM for the rest of a script */
    char *owner;  /* of this instance */
    char *owners, *fenced, *paused, *popped, *batches, *stats, *retry, *dead;
    char *delayed; /* the user's, too */
};

int keys_init(struct keys *k, const char *queue,
              const char *instance); /* 0 or -ENOMEM, then nothing to deinit */
void keys_deinit(struct keys *k);
/* Gives prefix + kind + rest, for the keys of one batch; NULL on no memory. */
char *keys_join(const struct keys *k, const char *kind, const char *rest);

/* What stands behind a prefix is a key of ours. */
bool keys_is_kind(const char *rest);
/* The queue of any such key: where its name begins, and *ret_len bytes; NULL: it is none. */
const char *keys_queue(const char *key, size_t *ret_len);

#endif
