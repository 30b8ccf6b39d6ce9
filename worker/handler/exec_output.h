/* exec_output.h - what a program prints: line by line into the log, the last of it as evidence.
 * Runs on: the worker's loop thread, on the thread's own stack. Never awaits. Errors: what there is
 * no memory for is left out. Units: bytes. Ownership: the job is borrowed from _init to _deinit.
 *
 * Memory is bounded by the queue's output_limit. A line that is too long for one line of the log is
 * split; of a flood OUTPUT_LINES_MAX lines are logged in each OUTPUT_WINDOW_MS, and then one that
 * says how many were not. */
#ifndef WORKER_HANDLER_EXEC_OUTPUT_H
#define WORKER_HANDLER_EXEC_OUTPUT_H

#include <stdbool.h>
#include <sys/types.h>

#include "common/job.h"

#define OUTPUT_LINE_MAX 700 /* bytes that fit into a line of the log, escaped */
#define OUTPUT_LINES_MAX 1000
#define OUTPUT_WINDOW_MS 10000

enum output_stream { OUTPUT_STDOUT, OUTPUT_STDERR, OUTPUT_STREAMS };

struct output_line { /* the beginning of a line that has not ended */
    char text[OUTPUT_LINE_MAX];
    size_t len;
};

struct output {
    const struct job *job;
    pid_t pid; /* of the process that gets several jobs; 0: of none */
    struct output_line line[OUTPUT_STREAMS];
    char *ring; /* the last `len` bytes, from `start` on */
    size_t start, len, room;
    int64_t window_ms; /* begin of the window */
    unsigned logged;   /* lines in it */
    uint64_t cut_lines, cut_bytes;
};

void output_init(struct output *o, const struct job *j);
void output_deinit(struct output *o);
void output_take(struct output *o, enum output_stream stream, const char *bytes, size_t n);
/* Logs what stands without a line end, and the note on what was cut. */
void output_end(struct output *o);
/* Copies what was kept into the job's evidence. 0 or -ENOMEM. */
int output_keep(const struct output *o, struct job *j);

#endif
