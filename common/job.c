#include "common/job.h"

#include <assert.h>
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
    j->large = !payload;
    j->len = len;
    if (kept)
        memcpy(j->payload, payload, kept);
    j->payload[kept] = '\0';
    return j;
}

struct job *job_free(struct job *j)
{
    if (!j)
        return NULL;
    assert(j->magic == JOB_MAGIC);
    j->magic = 0;
    free(j->reason);
    free(j->record);
    free(j);
    return NULL;
}

/* By hand: it runs on a task's small stack, where printf has no room. */
const char *job_id(const struct job *j, char out[JOB_ID_MAX])
{
    char digits[12], *p = digits + sizeof digits - 1;
    uint32_t n = j->index;
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
