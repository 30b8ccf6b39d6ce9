/* process_frame.h - what a pool of processes and its children say to each other over a socket:
 * internal to the runtime. A request is its head, the function's name and the argument; an answer
 * its head and the result, or the sentence where the code is negative. One answer a request. */
#ifndef RUNTIME_PROCESS_FRAME_H
#define RUNTIME_PROCESS_FRAME_H

#include <stdint.h>

#include "worker/runtime/process_pool.h"

#define PROCESS_CHILD_WORD "--process-pool-child" /* argv[1] of a child */
#define PROCESS_CHILD_FD 3                        /* its socket */
#define PROCESS_NAME_MAX 255
#define PROCESS_REQUEST 0x71657270u
#define PROCESS_ANSWER 0x736e6172u

struct process_request {
    uint32_t magic, name_len;
    uint64_t number; /* the answer carries it too */
    uint64_t len;
};

struct process_answer {
    uint32_t magic;
    int32_t code; /* 0 or negative */
    uint64_t number;
    uint64_t len; /* below ERR_TEXT_MAX with a negative code */
};

/* process_child.c. Borrowed: the row of a function; NULL: no such name, or no table. */
const struct process_function *process_function_find(const char *name);
bool process_function_table(void); /* process_pool_child was called */

#endif
