/* batch.h - one batch: one list in Redis, rpopd:{Q}:inflight:<instance>:<epoch>:<name>, filled by
 * one claim. Runs on: master. Never awaits. Errors: NULL on no memory. The i-th job claimed is
 * index -(i+1) of the list, which is shortened only on the left or removed whole, so an index never
 * shifts. A job object stands for a job that holds a slot: it is made when its payload is read and
 * freed when its settle is confirmed, when it was given back, or when the batch is gone. */
#ifndef DAEMON_BATCH_H
#define DAEMON_BATCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/job.h"
#include "daemon/job_list.h"

struct queue;

#define EPOCH_NAME_MAX 40 /* <run>.<counter> */
#define BATCH_NAME_MAX 24

/* One registration of this process at a queue; counted by its queue and its batches. */
struct epoch {
    unsigned refs;
    unsigned running; /* tasks of it that have not come back */
    char name[EPOCH_NAME_MAX];
    _Atomic int64_t
        start_until; /* CLOCK_BOOTTIME ms: no job of it is started later; read by workers */
};

struct batch {
    struct queue *queue;
    struct epoch *epoch;
    struct batch *next, *prev; /* of the queue, oldest first */
    struct batch *dirty_next;
    uint64_t number;
    uint64_t seq; /* the place in its queue's list: grows */
    char name[BATCH_NAME_MAX];
    char *field;        /* <instance>:<epoch>:<name>, the entry's name */
    char *list, *acked; /* keys */
    char *birth;        /* <birth epoch>-<n>: the ids' front */
    unsigned recoveries, strikes;
    char mark[12];      /* "-"; "5": that index ran alone on trial; "-5": a crash note named it */
    uint32_t length;    /* of the list, as far as it is ours */
    uint32_t read;      /* indexes below were read into jobs (or are settled) */
    uint32_t unsettled; /* not confirmed as settled */
    uint32_t ended;     /* of these: have an outcome */
    uint32_t special;   /* of these: each has a record to be written, or something to deliver */
    uint32_t out;       /* settles on the way */
    struct job **job;   /* by index; NULL: unread or settled */
    uint32_t late;      /* jobs beside these: given up, and not back from their workers */
    bool forgotten;     /* it is freed when the last of them has come back */
    uint8_t *bits;      /* settled before the batch was read, or NULL */
    struct job *done;   /* ended as done, not on the way, by job->next */
    int64_t done_since_ms; /* when the oldest of them ended */
    struct job_list owing; /* ended as done, with something to deliver, not on the way */
    struct job *failed;    /* ended otherwise, not on the way, by job->next */
    int64_t read_at_ms;    /* Redis refused to read it: not again before */
    int64_t born_ms;       /* when memory first knew it */
    uint32_t hollow;       /* settled when their payloads were last overwritten */
    bool records;          /* its elements are records: claimed from the retries */
    bool once;             /* delivered at most once: nothing of it is in Redis (once.c) */
    bool dirty;            /* in one of the queue's lists of what is to be settled */
    bool parting;          /* bits of it are on the way: the next go behind their answer */
    bool refused;          /* Redis refused its last settle */
    bool was_refused;      /* some settle of it */
    bool gone;             /* its list is no longer there, or no longer mine */
    bool vanished;         /* gone by another's hand: its entry is still there */
    bool give, giving;     /* is to be given back; the script is on the way */
    bool adopted;          /* another instance left it */
    bool pass;             /* is given back to whoever has slots: to the retries */
    bool tried;            /* `whole` was sent before and its answer was lost */
    bool trial;            /* its jobs run one at a time, with nothing beside them */
    bool naming;           /* the next of them is being named in the entry */
    uint32_t named;        /* ... and its index + 1 once that was confirmed */
    bool changed;          /* its list is not as long as is known: somebody else wrote to it */
};

struct epoch *epoch_new(const char *run, unsigned counter);
struct epoch *epoch_ref(struct epoch *e);
struct epoch *epoch_unref(struct epoch *e); /* returns NULL */

/* Gives a batch of the queue's present epoch; not yet in the queue's list. kind: "" or "r"
 * (records). */
struct batch *batch_new(struct queue *q, const char *kind, uint64_t number);
/* Takes; jobs in it are freed too, by the last of those that are late. Must not be in a list. NULL
 * and half-built are fine; returns NULL. */
struct batch *batch_free(struct batch *b);

/* What is in Redis became known: length jobs, of which the bits say which are settled. 0 or
 * -ENOMEM. */
int batch_fill(struct batch *b, uint32_t length, const void *bits, size_t nbytes);
bool batch_bit(const struct batch *b, uint32_t index);
/* How many are to be read as slots come free: none of a batch on trial. */
uint32_t batch_unread(const struct batch *b);
/* How that job brought the daemon down, once too often; NULL: not so often. limit: by notes. */
const char *batch_condemned(const struct batch *b, uint32_t index, unsigned limit);
/* Takes one that was late. */
void batch_late(struct job *j);
uint32_t batch_begun(const struct batch *b); /* one behind the last job that runs or has ended */

/* `1 <birth> <recoveries> <strikes> <mark>`, malloc'd; NULL on no memory. */
char *batch_entry(const struct batch *b);
/* text: len bytes and a NUL. 0, -EINVAL where it is not an entry of a version that is known,
 * -ENOMEM. */
int batch_parse_entry(struct batch *b, const char *text, size_t len);

#endif
