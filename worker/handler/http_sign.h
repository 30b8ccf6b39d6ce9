/* http_sign.h - the signature of a payload: HMAC-SHA256, in hex.
 * Runs on: worker. Errors: negative errno. Ownership: the secret is copied. A long payload is
 * signed in pieces between which other tasks run. Source: RFC 2104, FIPS 180-4; libcrypto. */
#ifndef WORKER_HANDLER_HTTP_SIGN_H
#define WORKER_HANDLER_HTTP_SIGN_H

#include <stddef.h>

#define SIGN_PIECE 1048576 /* bytes: about a millisecond */
#define SIGN_HEX 65        /* 64 digits and a NUL */

struct sign_key;

struct sign_key *sign_key_new(const char *secret);  /* gives; NULL: no memory */
struct sign_key *sign_key_free(struct sign_key *k); /* takes; NULL is fine; returns NULL */

/* Awaits where len > SIGN_PIECE. 0, -ENOMEM; -ECANCELED. Borrows bytes. */
int sign_hex(const struct sign_key *k, const void *bytes, size_t len, char out[SIGN_HEX]);

#endif
