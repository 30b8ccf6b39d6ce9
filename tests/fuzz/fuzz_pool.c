/* Fuzzes what a child of a pool answers: what is taken keeps its bounds. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/text.h"
#include "worker/handler/pool_frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct conf_queue conf = {.name = (char *)(uintptr_t) "q", .max_payload = 1000};
    struct pool_frame_answer a;
    struct err e;
    struct job *j = job_new(&conf, "", 0);
    char *line = malloc(size ? size : 1); /* no NUL behind it: a read too far is seen */
    assert(j && line);
    j->birth = "i";
    memcpy(line, data, size);
    if (pool_frame_answer(j, line, size, &a, &e) == 0) {
        assert(a.outcome == JOB_DONE || a.outcome == JOB_RETRY || a.outcome == JOB_DEAD);
        assert(a.len <= 1000 && a.delay_ms >= -1 && a.delay_ms <= 31536000000);
        const char *end = a.error + strnlen(a.error, sizeof a.error);
        assert(end < a.error + sizeof a.error);
        for (const char *p = a.error; p < end; p += text_utf8(p, end))
            assert(text_utf8(p, end) && (unsigned char)*p >= ' ');
    }
    free(line);
    (void)job_free(j);
    return 0;
}
