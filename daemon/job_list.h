/* job_list.h - jobs in a row, linked by job->next and job->prev: a job is in one such list at a
 * time. Runs on: the thread that holds the jobs. Never awaits. Allocates nothing. */
#ifndef DAEMON_JOB_LIST_H
#define DAEMON_JOB_LIST_H

#include <stdint.h>

#include "common/job.h"

struct job_list {
    struct job *head, *last;
    uint32_t n;
};

void job_list_init(struct job_list *l);
void job_list_push(struct job_list *l, struct job *j);
struct job *job_list_pop(struct job_list *l);
void job_list_unpop(struct job_list *l, struct job *j); /* to the front */
void job_list_remove(struct job_list *l, struct job *j);

#endif
