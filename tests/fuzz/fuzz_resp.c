/* What a server says, through the framing scan and the reply reader. The first byte picks the size
 * of the pieces, the second the bound of a string. Whatever the pieces, replies and error are the
 * same; both are compared by a sum. */
#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "daemon/redis_reply.h"
#include "daemon/resp.h"

struct outcome {
    uint64_t sum;
    int error;
    size_t left; /* bytes of the input that are not understood yet */
};

static void add(struct outcome *o, const void *bytes, size_t len)
{
    const unsigned char *p = bytes;
    for (size_t i = 0; i < len; i++) /* FNV-1a */
        o->sum = (o->sum ^ p[i]) * 0x100000001b3;
}

static void add_reply(struct outcome *o, const struct redis_reply *r, size_t max_bulk)
{
    add(o, &r->type, sizeof r->type);
    add(o, &r->integer, sizeof r->integer);
    add(o, &r->len, sizeof r->len);
    assert(r->type != REDIS_LARGE || (r->len > max_bulk && !r->str));
    assert(r->type != REDIS_STRING || r->len <= max_bulk);
    if (r->str) {
        add(o, r->str, r->len);
        assert(r->str[r->len] == '\0');
    }
    for (size_t i = 0; i < r->n; i++)
        add_reply(o, &r->item[i], max_bulk);
}

static struct outcome read_all(const char *in, size_t len, size_t piece, size_t max_bulk)
{
    struct outcome o = {.sum = 0xcbf29ce484222325};
    struct redis_reader *r = redis_reader_new(max_bulk);
    size_t begin = 0, end = piece < len ? piece : len;
    assert(r);
    for (;;) {
        const struct redis_reply *reply;
        struct err e = {0};
        size_t used;
        o.error = redis_reader_read(r, in + begin, end - begin, &used, &reply, &e);
        assert(used <= end - begin);
        assert(!o.error == !e.text[0]);
        begin += used;
        if (o.error)
            break;
        if (reply) {
            add_reply(&o, reply, max_bulk);
            continue;
        }
        assert(end - begin <= RESP_HEAD_MAX);
        if (end == len)
            break;
        end = end + piece < len ? end + piece : len;
    }
    o.left = len - begin;
    (void)redis_reader_free(r);
    return o;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const size_t bounds[] = {0, 1, 8, 1 << 20};
    if (len < 2)
        return 0;
    const char *in = (const char *)data + 2;
    size_t piece = data[0] % 64 + 1, max_bulk = bounds[data[1] % 4];
    struct outcome once = read_all(in, len - 2, len, max_bulk);
    struct outcome pieces = read_all(in, len - 2, piece, max_bulk);
    assert(once.error == pieces.error);
    assert(once.sum == pieces.sum);
    assert(once.error || once.left == pieces.left);
    return 0;
}
