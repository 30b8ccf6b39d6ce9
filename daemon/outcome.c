/* What became of a job: from what its worker says, and from why it was cancelled, if it was. */
#include "daemon/queue.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"

static void set_reason(struct job *j, const char *fmt, va_list args)
{
    free(j->reason);
    if (vasprintf(&j->reason, fmt, args) < 0)
        j->reason = NULL; /* without memory for it: a dead letter without a reason */
}

static void dead(struct job *j, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void dead(struct job *j, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    set_reason(j, fmt, args);
    va_end(args);
    j->outcome = JOB_DEAD;
}

void outcome_condemn(struct job *j, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    set_reason(j, fmt, args);
    va_end(args);
    j->outcome = JOB_DEAD;
    settle_ended(j);
}

bool outcome_decide(struct job *j)
{
    enum job_cancel why = atomic_load(&j->cancel);
    if (j->outcome == JOB_DONE)
        return true;
    if (why == CANCEL_OPERATOR)
        dead(j, "cancelled");
    else if (j->outcome == JOB_CANCELLED && why == CANCEL_NONE)
        dead(j, "its handler says cancelled, and nobody cancelled it");
    else if (j->outcome == JOB_RETRY)
        j->outcome = JOB_DEAD;
    return j->outcome == JOB_DEAD;
}
