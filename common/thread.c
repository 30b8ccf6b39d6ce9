#include "common/thread.h"

#include <stdio.h>
#include <stdlib.h>

struct thread_role on_master = {.name = "master"};
struct thread_role on_worker = {.name = "worker"};
struct thread_role on_pool = {.name = "pool"};

static _Thread_local struct thread_role *mine;

void thread_enter(struct thread_role *role)
{
    mine = role;
}

void thread_leave(void)
{
    mine = NULL;
}

void thread_assert(struct thread_role *role)
{
    if (mine == role)
        return;
    (void)fprintf(stderr, "thread: called on the %s thread, belongs to the %s thread\n",
                  mine ? mine->name : "unnamed", role->name);
    abort();
}
