/* Fuzzes the records that lie among the retries and the dead letters: what is read lies within the
 * bytes and is what would be written. */
#include <assert.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Written again it reads as the same: but for zeros in front of a number. */
static void check_again(const char *bytes, const struct record *r)
{
    char *text;
    struct record again;
    int n = asprintf(&text, "%.*s 1 %" PRIu32 " %" PRIu32 " %" PRId64 " %" PRId64 " \n",
                     (int)r->id_len, bytes, r->attempt, r->strikes, r->first_ms, r->last_ms);
    assert(n > 0 && record_parse(text, (size_t)n, &again) == 0);
    assert(again.id_len == r->id_len && again.attempt == r->attempt &&
           again.strikes == r->strikes && again.first_ms == r->first_ms &&
           again.last_ms == r->last_ms && again.head == (size_t)n);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct record r;
    char *bytes = malloc(size ? size : 1); /* no NUL behind them: a read too far is seen */
    assert(bytes != NULL);
    memcpy(bytes, data, size);
    if (record_parse(bytes, size, &r) == 0) {
        assert(r.head <= size && bytes[r.head - 1] == '\n');
        assert(r.id_len && r.id_len < JOB_ID_MAX && r.evidence_at < r.head);
        assert(!memchr(bytes, '\n', r.head - 1));
        assert(r.first_ms >= 0 && r.last_ms >= 0);
        check_again(bytes, &r);
    }
    free(bytes);
    return 0;
}
