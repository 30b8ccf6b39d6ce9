/* Fuzzes what a program says on its descriptor 3: what is taken keeps its bounds, and does not
 * depend on how the bytes come in. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "worker/handler/exec_control.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct control *c)
{
    assert(c->delay_ms >= -1 && c->delay_ms <= (int64_t)CONTROL_SECONDS_MAX * 1000);
    assert(c->len <= sizeof c->line && c->first_bad_len <= sizeof c->first_bad);
    assert(c->bad > 0 || c->first_bad_len == 0);
}

/* The first byte says in which pieces the others come. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct control whole, parts;
    if (size == 0)
        return 0;
    const char *bytes = (const char *)data + 1;
    size_t n = size - 1, piece = data[0] % 64 + 1;
    control_init(&whole);
    control_init(&parts);
    control_take(&whole, bytes, n);
    for (size_t at = 0; at < n; at += piece) {
        control_take(&parts, bytes + at, n - at < piece ? n - at : piece);
        check(&parts);
    }
    control_end(&whole);
    control_end(&parts);
    check(&whole);
    assert(whole.delay_ms == parts.delay_ms && whole.bad == parts.bad);
    assert(whole.first_bad_len == parts.first_bad_len);
    assert(memcmp(whole.first_bad, parts.first_bad, whole.first_bad_len) == 0);
    return 0;
}
