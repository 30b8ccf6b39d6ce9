/* null.c - done at once: for measuring, and for draining a list on purpose. */
#include "worker/handler/handler.h"

static enum job_outcome null_run(struct job *j, void *state, struct err *why)
{
    (void)j, (void)state, (void)why;
    return JOB_DONE;
}

const struct handler handler_null = {.type = "null", .run = null_run};
