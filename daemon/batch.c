#include "daemon/batch.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "daemon/queue.h"

#define ALONE_MAX 2 /* deaths of the daemon while a job ran with nothing beside it */

struct epoch *epoch_new(const char *run, unsigned counter)
{
    struct epoch *e = calloc(1, sizeof *e);
    if (!e)
        return NULL;
    e->refs = 1;
    (void)snprintf(e->name, sizeof e->name, "%s.%u", run, counter);
    atomic_init(&e->start_until, INT64_MIN);
    return e;
}

struct epoch *epoch_ref(struct epoch *e)
{
    e->refs++;
    return e;
}

struct epoch *epoch_unref(struct epoch *e)
{
    if (e && --e->refs == 0)
        free(e);
    return NULL;
}

struct batch *batch_new(struct queue *q, const char *kind, uint64_t number)
{
    struct batch *b = calloc(1, sizeof *b);
    if (!b)
        return NULL;
    b->queue = q;
    b->epoch = epoch_ref(q->epoch);
    b->number = number;
    b->born_ms = clock_now_ms();
    b->records = *kind != '\0';
    (void)snprintf(b->name, sizeof b->name, "%s%" PRIu64, kind, number);
    (void)strcpy(b->mark, "-");
    if (asprintf(&b->field, "%s:%s:%s", q->instance, b->epoch->name, b->name) < 0)
        b->field = NULL;
    if (asprintf(&b->birth, "%s-%s", b->epoch->name, b->name) < 0)
        b->birth = NULL;
    if (!b->field || !b->birth)
        return batch_free(b);
    b->list = keys_join(&q->key, "inflight:", b->field);
    b->acked = keys_join(&q->key, "acked:", b->field);
    return b->list && b->acked ? b : batch_free(b);
}

struct batch *batch_free(struct batch *b)
{
    if (!b)
        return NULL;
    b->forgotten = b->late > 0; /* they name it */
    if (b->forgotten)
        return NULL;
    for (uint32_t i = 0; b->job && i < b->length; i++)
        (void)job_free(b->job[i]);
    free(b->job);
    free(b->bits);
    free(b->field);
    free(b->birth);
    free(b->list);
    free(b->acked);
    (void)epoch_unref(b->epoch);
    free(b);
    return NULL;
}

void batch_late(struct job *j)
{
    struct batch *b = j->batch;
    (void)job_free(j);
    if (--b->late == 0 && b->forgotten)
        (void)batch_free(b);
}

int batch_fill(struct batch *b, uint32_t length, const void *bits, size_t nbytes)
{
    assert(!b->job);
    struct job **jobs = calloc(length ? length : 1, sizeof(struct job *));
    uint8_t *copy = nbytes ? calloc(1, length / 8 + 1) : NULL;
    if (!jobs || (nbytes && !copy)) {
        free(jobs);
        free(copy);
        return -ENOMEM;
    }
    if (copy)
        memcpy(copy, bits, nbytes < length / 8 + 1 ? nbytes : length / 8 + 1);
    b->job = jobs;
    b->bits = copy;
    b->length = b->unsettled = length;
    for (uint32_t i = 0; copy && i < length; i++)
        b->unsettled -= batch_bit(b, i);
    return 0;
}

bool batch_bit(const struct batch *b, uint32_t index)
{
    return b->bits && (b->bits[index / 8] >> (7 - index % 8) & 1);
}

uint32_t batch_unread(const struct batch *b)
{
    return b->gone || b->trial ? 0 : b->length - b->read;
}

const char *batch_condemned(const struct batch *b, uint32_t index, unsigned limit)
{
    bool noted = b->mark[0] == '-' && b->mark[1];
    const char *digits = b->mark + noted;
    if (*digits == '-' || strtoul(digits, NULL, 10) != index)
        return NULL;
    if (noted)
        return b->strikes >= limit ? "it brought the daemon down" : NULL;
    return b->strikes >= ALONE_MAX ? "the daemon died while it ran alone" : NULL;
}

uint32_t batch_begun(const struct batch *b)
{
    for (uint32_t i = b->read; i > 0; i--) {
        const struct job *j = b->job[i - 1];
        if (j && (j->running || j->outcome != JOB_NONE))
            return i;
    }
    return 0;
}

char *batch_entry(const struct batch *b)
{
    char *entry;
    return asprintf(&entry, "1 %s %u %u %s", b->birth, b->recoveries, b->strikes, b->mark) < 0
               ? NULL
               : entry;
}

#define DIGITS "0123456789"
#define BLANKS " \t\n\v\f\r"

/* A word of at most `max` bytes: of those in `set`, or up to a blank where it is NULL. Its length;
 * 0: there is none. */
static size_t word(const char *p, const char *set, size_t max)
{
    size_t n = set ? strspn(p, set) : strcspn(p, BLANKS);
    return n <= max ? n : 0;
}

/* By hand: sscanf takes signs, more blanks and other versions, which no script does. */
int batch_parse_entry(struct batch *b, const char *text, size_t len)
{
    static const struct {
        const char *set;
        size_t max;
    } form[] = {{"1", 1}, {NULL, 80}, {DIGITS, 9}, {DIGITS, 9}, {DIGITS "-", sizeof b->mark - 1}};
    const char *at[5], *p = text;
    size_t size[5];
    if (strlen(text) != len)
        return -EINVAL;
    for (unsigned i = 0; i < 5; i++) {
        at[i] = p;
        size[i] = word(p, form[i].set, form[i].max);
        p += size[i];
        if (!size[i] || *p != (i < 4 ? ' ' : '\0'))
            return -EINVAL;
        p++;
    }
    char *birth = calloc(1, size[1] + 1);
    if (!birth)
        return -ENOMEM;
    memcpy(birth, at[1], size[1]);
    free(b->birth);
    b->birth = birth;
    b->recoveries = (unsigned)strtoul(at[2], NULL, 10);
    b->strikes = (unsigned)strtoul(at[3], NULL, 10);
    memcpy(b->mark, at[4], size[4] + 1);
    return 0;
}
