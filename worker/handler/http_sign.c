#include "worker/handler/http_sign.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <stdlib.h>
#include <string.h>

#include "common/callout.h"
#include "worker/runtime/task.h"

#define SHA256_BYTES 32

struct sign_key {
    EVP_MAC_CTX *keyed; /* each signature begins with a copy of it */
};

struct sign_step { /* of one signature, on the thread's own stack */
    const struct sign_key *key;
    EVP_MAC_CTX *mac;
    const unsigned char *piece;
    size_t len;
    unsigned char sum[SHA256_BYTES];
    int good;
};

struct sign_key *sign_key_new(const char *secret)
{
    char digest[] = "SHA256";
    OSSL_PARAM how[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
                        OSSL_PARAM_construct_end()};
    struct sign_key *k = calloc(1, sizeof *k);
    EVP_MAC *hmac = k ? EVP_MAC_fetch(NULL, "HMAC", NULL) : NULL;
    if (hmac)
        k->keyed = EVP_MAC_CTX_new(hmac);
    EVP_MAC_free(hmac);
    if (k && k->keyed && EVP_MAC_init(k->keyed, (const unsigned char *)secret, strlen(secret), how))
        return k;
    return sign_key_free(k);
}

struct sign_key *sign_key_free(struct sign_key *k)
{
    if (!k)
        return NULL;
    EVP_MAC_CTX_free(k->keyed);
    free(k);
    return NULL;
}

static void begin(void *arg)
{
    struct sign_step *s = arg;
    s->mac = EVP_MAC_CTX_dup(s->key->keyed);
    s->good = s->mac != NULL;
}

static void update(void *arg)
{
    struct sign_step *s = arg;
    s->good = EVP_MAC_update(s->mac, s->piece, s->len);
}

static void finish(void *arg)
{
    struct sign_step *s = arg;
    size_t n;
    s->good = EVP_MAC_final(s->mac, s->sum, &n, sizeof s->sum);
}

static void drop(void *arg)
{
    struct sign_step *s = arg;
    EVP_MAC_CTX_free(s->mac);
}

static int run(callout_fn fn, struct sign_step *s)
{
    callout(fn, s);
    return s->good ? 0 : -ENOMEM;
}

static int sum_up(struct sign_step *s, const unsigned char *bytes, size_t len)
{
    int r = run(begin, s);
    for (size_t at = 0; r == 0 && at < len; at += s->len) {
        if (at)
            r = task_sleep(0);
        if (r < 0)
            return r;
        s->piece = bytes + at;
        s->len = len - at < SIGN_PIECE ? len - at : SIGN_PIECE;
        r = run(update, s);
    }
    return r < 0 ? r : run(finish, s);
}

int sign_hex(const struct sign_key *k, const void *bytes, size_t len, char out[SIGN_HEX])
{
    static const char digits[] = "0123456789abcdef";
    struct sign_step s = {.key = k};
    int r = sum_up(&s, bytes, len);
    callout(drop, &s);
    if (r < 0)
        return r;
    for (size_t i = 0; i < sizeof s.sum; i++) {
        *out++ = digits[s.sum[i] >> 4];
        *out++ = digits[s.sum[i] & 15];
    }
    *out = '\0';
    return 0;
}
