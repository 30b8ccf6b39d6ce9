/* record.h - a job as it lies among the retries and the dead letters:
 *   <job id> <version> <attempt> <strikes> <first ms> <last ms> <evidence>\n<payload>
 * Runs on: any thread. Never awaits. <evidence> is one line of JSON: reason; exit, signal or status
 * where there was one; run_ms, for how long the try ran, where it began; instance; of a dead letter
 * output, or output_base64 where that is not UTF-8.
 * `attempt` is the try that failed; 0: none was made. */
#ifndef DAEMON_RECORD_H
#define DAEMON_RECORD_H

#include <stddef.h>
#include <stdint.h>

#include "common/job.h"

struct record {
    size_t id_len; /* the id begins the record */
    uint32_t attempt, strikes;
    int64_t first_ms, last_ms;
    size_t evidence_at; /* up to the line end at head - 1 */
    size_t head;        /* bytes in front of the payload */
};

/* Reads the head. 0, or -EINVAL where it is not a record of a version that is known. */
int record_parse(const char *bytes, size_t len, struct record *ret);

/* The head of a job's record, up to and with its line end; the scripts join the payload where it
 * lies. Made once and kept in the job, so that a repeat writes the same bytes. Borrowed; NULL on no
 * memory. */
const char *record_head(struct job *j, const char *instance);

#endif
