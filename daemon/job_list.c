#include "daemon/job_list.h"

void job_list_init(struct job_list *l)
{
    *l = (struct job_list){0};
}

static void put_between(struct job_list *l, struct job *before, struct job *j, struct job *behind)
{
    j->prev = before;
    j->next = behind;
    *(before ? &before->next : &l->head) = j;
    *(behind ? &behind->prev : &l->last) = j;
    l->n++;
}

void job_list_push(struct job_list *l, struct job *j)
{
    put_between(l, l->last, j, NULL);
}

void job_list_unpop(struct job_list *l, struct job *j)
{
    put_between(l, NULL, j, l->head);
}

void job_list_remove(struct job_list *l, struct job *j)
{
    *(j->prev ? &j->prev->next : &l->head) = j->next;
    *(j->next ? &j->next->prev : &l->last) = j->prev;
    j->next = j->prev = NULL;
    l->n--;
}

struct job *job_list_pop(struct job_list *l)
{
    struct job *j = l->head;
    if (j)
        job_list_remove(l, j);
    return j;
}
