/* record.h - a job as it lies among the retries and the dead letters:
 *   <job id> <version> <attempt> <strikes> <first ms> <last ms> <evidence>\n<payload>
 * Runs on: any thread. Never awaits. <evidence> is one line of JSON: reason, instance. */
#ifndef DAEMON_RECORD_H
#define DAEMON_RECORD_H

#include <stddef.h>

#include "common/job.h"

/* Gives the record, malloc'd, and its length; of a large job only the head, to which the script
 * joins the payload where it lies. The head is made once and kept in the job, so that a repeat
 * writes the same bytes. NULL on no memory. */
char *record_of(struct job *j, const char *instance, size_t *ret_len);

#endif
