/* exec_pipes.h - the four pipes of a program that runs a job: the payload goes in while what it
 * prints and says is read, so that neither waits for the other.
 * Runs on: the worker's loop thread. Never awaits: callbacks move the bytes. Errors: a pipe that
 * fails is closed; a program that closes its input early is none. Ownership: borrows job and
 * process; keeps the pipes until exec_pipes_close. */
#ifndef WORKER_HANDLER_EXEC_PIPES_H
#define WORKER_HANDLER_EXEC_PIPES_H

#include "common/job.h"
#include "worker/handler/exec_control.h"
#include "worker/handler/exec_output.h"
#include "worker/runtime/process.h"

#define EXEC_CONTROL_PIPE 3
#define EXEC_PIPES \
    (PROCESS_STDIN | PROCESS_STDOUT | PROCESS_STDERR | PROCESS_PIPE(EXEC_CONTROL_PIPE))

struct exec_pipes;

struct exec_reader {
    struct exec_pipes *pipes;
    int number; /* the program's descriptor */
    int fd;     /* -1: closed */
};

struct exec_pipes {
    struct loop *loop;
    struct job *job;
    int in; /* -1: closed */
    size_t written;
    struct exec_reader readers[3];
    struct output output;
    struct control control;
    char *result; /* what it has printed, where that is the job's result */
    size_t result_len, result_room;
    bool wants_result, result_too_large, short_of_memory;
};

/* The payload begins to go in. 0 or a negative code with *e: then nothing is kept. */
int exec_pipes_open(struct exec_pipes *p, struct job *j, struct process *process, struct err *e);
/* From now on what comes out is read as it comes. 0 or a negative code with *e. A program that ends
 * within a few milliseconds has rarely said more than its pipes hold: exec_pipes_end alone reads
 * that, and its end is then the one thing that wakes the loop. */
int exec_pipes_watch(struct exec_pipes *p, struct err *e);
/* The program and all it has started have ended: reads what stands in the pipes, does not wait for
 * more, and ends the log of its output. */
void exec_pipes_end(struct exec_pipes *p);
void exec_pipes_close(struct exec_pipes *p); /* frees; twice is fine */

#endif
