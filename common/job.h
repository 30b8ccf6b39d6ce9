/* job.h - one job: what its claim brought, and what became of it.
 * Runs on: a job belongs to one thread at a time: the master makes and frees it, a worker holds it
 * between dispatch and outcome; handing it over is a mailbox push. Never awaits. Units: bytes,
 * milliseconds. */
#ifndef COMMON_JOB_H
#define COMMON_JOB_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/conf.h"
#include "common/mailbox.h"

#define JOB_MAGIC 0x726a6f62u
#define JOB_ID_MAX 96 /* <run>.<counter>-<batch>-<index> and a NUL */

struct batch; /* daemon/batch.h; a worker only carries it */

enum job_outcome {
    JOB_NONE, /* not ended: waiting or running */
    JOB_DONE,
    JOB_RETRY,     /* this try failed; `reason` says why, `delay_ms` may say when the next is due */
    JOB_DEAD,      /* can never be run; `reason` says why */
    JOB_CANCELLED, /* its task was cancelled: `cancel` says what that means */
    JOB_LATE,      /* not started: its lease was over when the worker came to it */
    JOB_AGAIN,     /* not started, or to be run again: no memory, descriptor or process for it */
};

/* Why a job is cancelled. A later reason takes the place of an earlier one above it in the list;
 * shutdown and timeout stand beside each other, the first one stays. */
enum job_cancel {
    CANCEL_NONE,
    CANCEL_SHUTDOWN, /* given back: no try was made */
    CANCEL_TIMEOUT,  /* a failed try */
    CANCEL_OPERATOR, /* dead, with the reason `cancelled` */
    CANCEL_LOST,     /* its epoch was fenced: nothing is settled */
};

struct carrier; /* worker/worker.c */

/* What a handler knows of a try that failed, for the dead letter. */
struct job_evidence {
    int exit_code; /* of a process; -1: none */
    int signal;    /* that ended it; 0: none */
    int status;    /* of an HTTP response; 0: none */
    char *output;  /* malloc'd: the last bytes of it, see job_output; NULL: none */
    size_t output_len;
};

struct job {
    struct mail mail; /* first: a mailbox hands on jobs */
    unsigned magic;
    atomic_uint shares; /* beside its owner's, see job_share */
    uint32_t index;     /* in its batch: the list's index is -(index + 1) */
    struct batch *batch;
    const char *birth;             /* borrowed from the batch: the id's front */
    const struct conf_queue *conf; /* borrowed */
    /* Borrowed: CLOCK_BOOTTIME ms after which it must not be started. */
    _Atomic int64_t *start_until;
    _Atomic(enum job_cancel) cancel;
    atomic_bool at_once;     /* the daemon ends: what it started is to be killed without grace */
    atomic_int away;         /* the worker's: may a message name it (worker.c) */
    struct carrier *carrier; /* the worker's, while it is there */
    bool large;              /* over max_payload: len tells how large, payload is empty */
    bool condemned;          /* it brought the daemon down too often */
    bool running;            /* handed to a worker, not back yet */
    atomic_bool begun;       /* its handler was called */
    atomic_int pid;          /* of the process that runs it, from its handler; 0: none does */
    bool once;               /* delivered at most once: it is nowhere but here */
    bool tried;              /* its settle may have run before: the answer was lost */
    enum job_outcome outcome;
    uint32_t attempt; /* from 1 */
    uint32_t strikes;
    unsigned worker;  /* where it runs */
    int64_t first_ms; /* wall clock: the first claim */
    int64_t delay_ms; /* of JOB_RETRY, from the handler: until the next try; -1: by backoff */
    int64_t run_ms;   /* that its handler took */
    struct job_evidence evidence;
    void *result; /* malloc'd: what its handler returned; NULL: nothing */
    size_t result_len;
    char *reason;     /* malloc'd sentence, or NULL */
    char *id;         /* malloc'd: it has one of before; NULL: by birth and index */
    int64_t head;     /* bytes of its element in front of the payload; -1: not known */
    bool alien;       /* its element is no record, and should be one */
    char *record;     /* the head of its record, made once: a repeat writes the same member */
    struct job *next; /* in a list of the thread that holds it */
    struct job *prev; /* likewise, where the list has a way back */
    size_t len;
    char payload[]; /* len bytes and a NUL, except where large */
};

/* Gives; NULL on no memory. Copies the payload (NULL: large). Borrows batch, birth and conf. */
struct job *job_new(const struct conf_queue *conf, const void *payload, size_t len);
struct job *job_free(struct job *j); /* takes; NULL is fine; returns NULL */
/* Shares: its payload stays where it is until one job_free more. Any thread; nothing else of it may
 * be looked at but `cancel`. Returns j. */
struct job *job_share(struct job *j);

/* It is to be run again: nothing of the try before is left of it, no outcome, evidence, result or
 * delay. */
void job_anew(struct job *j);

/* Asks for its end, for this reason. False: it was asked for already, for one that counts more or
 * as much. Any thread. */
bool job_cancel(struct job *j, enum job_cancel why);

/* Evidence: copies the last conf->output_limit bytes of its output, in the place of what was there.
 * 0 or -ENOMEM: then nothing has changed. */
int job_output(struct job *j, const void *bytes, size_t len);

/* Somebody is to get what a handler returns: a list, a key, or the queue that comes next. Any
 * thread. */
bool job_wants_result(const struct job *j);
/* Takes `bytes` (malloc'd; NULL: none) as its result, in the place of what was there. */
void job_result(struct job *j, void *bytes, size_t len);

/* Writes the id into out; returns out. */
const char *job_id(const struct job *j, char out[JOB_ID_MAX]);

#endif
