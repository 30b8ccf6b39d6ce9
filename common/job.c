#include "common/job.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct job *job_new(const struct conf_queue *conf, const void *payload, size_t len)
{
    size_t kept = payload ? len : 0;
    if (kept > SIZE_MAX - sizeof(struct job) - 1)
        return NULL;
    struct job *j = malloc(sizeof *j + kept + 1);
    if (!j)
        return NULL;
    memset(j, 0, sizeof *j);
    j->magic = JOB_MAGIC;
    j->conf = conf;
    j->attempt = 1;
    job_anew(j);
    j->large = !payload;
    j->len = len;
    if (kept)
        memcpy(j->payload, payload, kept);
    j->payload[kept] = '\0';
    return j;
}

struct job *job_share(struct job *j)
{
    assert(j->magic == JOB_MAGIC);
    atomic_fetch_add(&j->shares, 1);
    return j;
}

struct job *job_free(struct job *j)
{
    if (!j)
        return NULL;
    assert(j->magic == JOB_MAGIC);
    if (atomic_fetch_sub(&j->shares, 1) > 0)
        return NULL;
    j->magic = 0;
    free(j->reason);
    free(j->record);
    free(j->id);
    free(j->evidence.output);
    free(j->result);
    free(j);
    return NULL;
}

void job_anew(struct job *j)
{
    j->outcome = JOB_NONE;
    j->delay_ms = -1;
    atomic_store(&j->begun, false);
    free(j->evidence.output);
    j->evidence = (struct job_evidence){.exit_code = -1};
    job_result(j, NULL, 0);
}

bool job_cancel(struct job *j, enum job_cancel why)
{
    static const unsigned char weight[] = {[CANCEL_NONE] = 0,
                                           [CANCEL_SHUTDOWN] = 1,
                                           [CANCEL_TIMEOUT] = 1,
                                           [CANCEL_OPERATOR] = 2,
                                           [CANCEL_LOST] = 3};
    enum job_cancel before = atomic_load(&j->cancel);
    while (weight[before] < weight[why])
        if (atomic_compare_exchange_weak(&j->cancel, &before, why))
            return true;
    return false;
}

int job_output(struct job *j, const void *bytes, size_t len)
{
    size_t limit = (size_t)j->conf->output_limit, kept = len < limit ? len : limit;
    char *copy = malloc(kept ? kept : 1);
    if (!copy)
        return -ENOMEM;
    memcpy(copy, (const char *)bytes + len - kept, kept);
    free(j->evidence.output);
    j->evidence.output = copy;
    j->evidence.output_len = kept;
    return 0;
}

bool job_wants_result(const struct job *j)
{
    const struct conf_queue *q = j->conf;
    return q->result_list[0] || q->result_key_ttl_ms || q->on_success[0];
}

void job_result(struct job *j, void *bytes, size_t len)
{
    free(j->result);
    j->result = bytes;
    j->result_len = bytes ? len : 0;
}

/* By hand: it runs on a task's small stack, where printf has no room. */
const char *job_id(const struct job *j, char out[JOB_ID_MAX])
{
    char digits[12], *p = digits + sizeof digits - 1;
    uint32_t n = j->index;
    if (j->id) {
        assert(strlen(j->id) < JOB_ID_MAX);
        return strcpy(out, j->id);
    }
    *p = '\0';
    do
        *--p = (char)('0' + n % 10);
    while (n /= 10);
    *--p = '-';
    size_t front = strlen(j->birth), back = (size_t)(digits + sizeof digits - p);
    assert(front + back <= JOB_ID_MAX);
    memcpy(out, j->birth, front);
    memcpy(out + front, p, back);
    return out;
}
