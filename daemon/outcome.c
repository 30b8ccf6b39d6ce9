/* What became of a job: from what its worker says, and from why it was cancelled, if it was. */
#include "daemon/queue.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "common/clock.h"

#define DELAY_MAX_MS 31536000000 /* a year: what a handler asks for is no longer */

static void set_reason_va(struct job *j, const char *fmt, va_list args)
{
    free(j->reason);
    if (vasprintf(&j->reason, fmt, args) < 0)
        j->reason = NULL; /* without memory for it: a record without a reason */
}

static void set_reason(struct job *j, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void set_reason(struct job *j, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    set_reason_va(j, fmt, args);
    va_end(args);
}

/* From -1 to 1. */
static double random_part(void)
{
    uint32_t n;
    if (getrandom(&n, sizeof n, GRND_NONBLOCK) != (ssize_t)sizeof n)
        n = (uint32_t)clock_now_ns();
    return (double)n / (UINT32_MAX / 2.0) - 1;
}

/* base x factor^(n-1) behind the n-th try, a part of it random; never longer than max. */
static int64_t backoff_ms(const struct conf_queue *c, uint32_t attempt)
{
    double ms = (double)c->backoff_base_ms * pow(c->backoff_factor, (double)attempt - 1) *
                (1 + c->backoff_jitter * random_part());
    if (c->backoff_base_ms == 0)
        return 0; /* times infinity it is no number */
    return ms < (double)c->backoff_max_ms ? (int64_t)ms : c->backoff_max_ms;
}

/* Another try, unless it was the last. The delay is chosen once: a repeat asks for the same. */
static void try_failed(struct job *j)
{
    j->outcome = j->attempt < (uint32_t)j->conf->attempts ? JOB_RETRY : JOB_DEAD;
    if (j->delay_ms < 0)
        j->delay_ms = backoff_ms(j->conf, j->attempt);
    if (j->delay_ms > DELAY_MAX_MS)
        j->delay_ms = DELAY_MAX_MS;
}

static void was_cancelled(struct job *j, enum job_cancel why)
{
    if (why == CANCEL_TIMEOUT)
        set_reason(j, "timeout after %g s", (double)j->conf->timeout_ms / 1000);
    else if (why == CANCEL_SHUTDOWN && j->once && atomic_load(&j->begun))
        set_reason(j, "the daemon ended while it ran");
    else if (why == CANCEL_NONE)
        set_reason(j, "its handler says cancelled, and nobody cancelled it");
    else
        return; /* shutdown, lost: it has not ended */
    try_failed(j);
}

bool outcome_decide(struct job *j)
{
    enum job_cancel why = atomic_load(&j->cancel);
    if (j->outcome == JOB_DONE)
        return true;
    if (why == CANCEL_OPERATOR) {
        set_reason(j, "cancelled");
        j->outcome = JOB_DEAD;
    } else if (j->outcome == JOB_CANCELLED) {
        was_cancelled(j, why);
    } else if (j->outcome == JOB_RETRY) {
        try_failed(j);
    }
    return j->outcome == JOB_DEAD || j->outcome == JOB_RETRY;
}

void outcome_undelivered(struct job *j)
{
    set_reason(j, "its result of %zu bytes is more than Redis takes (proto-max-bulk-len)",
               j->result_len);
    job_result(j, NULL, 0);
    j->outcome = JOB_DEAD;
    settle_changed(j);
}

void outcome_condemn(struct job *j, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    set_reason_va(j, fmt, args);
    va_end(args);
    j->outcome = JOB_DEAD;
    settle_ended(j);
}
