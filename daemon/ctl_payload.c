#include "daemon/ctl_payload.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base64.h"
#include "common/text.h"

static void no_memory(void)
{
    (void)fputs("rpopctl: no memory\n", stderr);
    exit(1);
}

/* 0 to 63; -1: none of its letters. */
static int value_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Four letters are three bytes; = stands at the end for those that are missing. How many bytes, or
 * -1. */
static int decode_four(const char *in, char *out)
{
    int n = in[3] != '=' ? 3 : in[2] != '=' ? 2 : 1;
    unsigned v = 0;
    for (int i = 0; i < 4; i++) {
        int one = i <= n ? value_of(in[i]) : 0;
        if (one < 0)
            return -1;
        v = v << 6 | (unsigned)one;
    }
    out[0] = (char)(v >> 16);
    out[1] = (char)(v >> 8);
    out[2] = (char)v;
    return n;
}

int payload_add(struct payload *p, const char *base64)
{
    size_t len = strlen(base64), more = len / 4 * 3;
    if (len % 4)
        return -EINVAL;
    if (p->size < p->len + more + 1) {
        p->size = (p->len + more) * 2 + 64;
        p->bytes = realloc(p->bytes, p->size);
        if (!p->bytes)
            no_memory();
    }
    for (; *base64; base64 += 4) {
        char three[3];
        int n = decode_four(base64, three);
        if (n < 0 || (n < 3 && base64[4]))
            return -EINVAL;
        memcpy(p->bytes + p->len, three, (size_t)n);
        p->len += (size_t)n;
    }
    p->bytes[p->len] = '\0';
    return 0;
}

static json_t *as_text(const struct payload *p)
{
    const char *at = p->bytes, *end = p->bytes + p->len;
    for (size_t n; at < end; at += n)
        if (!(n = text_utf8(at, end)))
            return NULL;
    return json_stringn(p->len ? p->bytes : "", p->len);
}

void payload_to_json(const struct payload *p, json_t *o)
{
    json_t *text = as_text(p);
    if (text) {
        (void)json_object_set_new(o, "payload", text);
        return;
    }
    char *base64 = base64_encode(p->bytes, p->len);
    if (!base64)
        no_memory();
    (void)json_object_set_new(o, "payload_base64", json_string(base64));
    free(base64);
}

void payload_clear(struct payload *p)
{
    free(p->bytes);
    *p = (struct payload){0};
}
