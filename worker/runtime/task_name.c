#include "worker/runtime/internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/callout.h"

#define NAME_ROOM 32

static void print_name(void *arg)
{
    struct task *t = arg;
    (void)snprintf(t->name, NAME_ROOM, "Task-%llu", (unsigned long long)t->ctx.id);
}

const char *task_name(struct task *t)
{
    task_check(t, __func__);
    if (!t->name) {
        t->name = malloc(NAME_ROOM);
        if (!t->name)
            return "Task";
        callout(print_name, t);
        t->ctx.name = t->name;
    }
    return t->name;
}

int task_set_name(struct task *t, const char *name)
{
    task_check(t, __func__);
    char *copy = name ? strdup(name) : NULL;
    if (name && !copy)
        return -ENOMEM;
    free(t->name);
    t->name = copy;
    t->ctx.name = copy;
    return 0;
}
