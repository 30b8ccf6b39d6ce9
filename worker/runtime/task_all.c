#include "worker/runtime/internal.h"

#include <errno.h>
#include <stdlib.h>

int task_all(struct loop *l, struct task ***ret_tasks, size_t *ret_count)
{
    loop_check_thread(l, __func__);
    GIVEN(ret_tasks);
    GIVEN(ret_count);
    size_t count = 0, at = 0;
    for (struct task *t = l->first_task; t; t = t->next)
        count++;
    struct task **tasks = malloc((count + 1) * sizeof(struct task *));
    if (!tasks)
        return -ENOMEM;
    for (struct task *t = l->first_task; t; t = t->next)
        tasks[at++] = task_ref(t);
    *ret_tasks = tasks;
    *ret_count = count;
    return 0;
}

void task_all_free(struct task **tasks, size_t count)
{
    for (size_t i = 0; i < count; i++)
        task_unref(tasks[i]);
    free(tasks);
}
