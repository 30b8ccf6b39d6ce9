#include "worker/runtime/group.h"

#include <errno.h>
#include <stdlib.h>

#include "worker/runtime/internal.h"

struct member {
    struct watch watch;
    struct group *group; /* NULL: it has been left alone */
    struct task *task;   /* held */
    struct member *prev, *next;
};

struct members {
    struct member *first, *last;
};

struct group {
    struct task *parent; /* held */
    struct members running, failed;
    size_t errors;
    bool exiting, aborting, parent_cancelled;
    struct err body; /* code 0: the block did not fail by itself */
    int interrupt;   /* ERROR_INTERRUPT: of whom it came first; text in `interrupted` */
    struct err interrupted;
    struct future *over; /* held while group_exit waits */
};

static void append(struct members *list, struct member *m)
{
    m->prev = list->last;
    m->next = NULL;
    if (list->last)
        list->last->next = m;
    else
        list->first = m;
    list->last = m;
}

static void take_out(struct members *list, struct member *m)
{
    if (m->prev)
        m->prev->next = m->next;
    else
        list->first = m->next;
    if (m->next)
        m->next->prev = m->prev;
    else
        list->last = m->prev;
}

static void member_free(struct member *m)
{
    task_unref(m->task);
    free(m);
}

static void note_interrupt(struct group *g, int code, const char *text)
{
    if (code == ERROR_INTERRUPT && g->interrupt == 0)
        g->interrupt = err_set(&g->interrupted, code, "%s", text);
}

static void abort_all(struct group *g)
{
    g->aborting = true;
    for (struct member *m = g->running.first; m; m = m->next)
        (void)task_cancel(m->task);
}

static void report_late(struct future *f)
{
    struct loop_report r = {.message =
                                "Task has errored out but its parent task is already completed",
                            .code = f->code,
                            .text = error_text(f->error),
                            .future = f};
    loop_call_exception_handler(f->loop, &r);
}

static void on_failure(struct group *g, struct member *m)
{
    struct future *f = &m->task->future;
    f->looked_at = true;
    append(&g->failed, m);
    g->errors++;
    note_interrupt(g, f->code, error_text(f->error));
    if (task_done(g->parent)) {
        report_late(f);
    } else if (!g->aborting && !g->parent_cancelled) {
        abort_all(g);
        g->parent_cancelled = true;
        (void)task_cancel(g->parent);
    }
}

static void on_done(struct watch *w)
{
    struct member *m = CONTAINER_OF(w, struct member, watch);
    struct group *g = m->group;
    if (!g) {
        member_free(m);
        return;
    }
    take_out(&g->running, m);
    if (g->over && !g->running.first && !future_done(g->over))
        (void)future_set_result(g->over, NULL);
    if (m->task->future.state == FUTURE_FAILED)
        on_failure(g, m);
    else
        member_free(m);
}

static void on_lost(struct watch *w)
{
    struct member *m = CONTAINER_OF(w, struct member, watch);
    if (m->group)
        take_out(&m->group->running, m);
    member_free(m);
}

struct group *group_new(struct err *e)
{
    struct task *parent = task_current();
    struct group *g = parent ? calloc(1, sizeof *g) : NULL;
    if (!g) {
        errno = -error_set(e, parent ? -ENOMEM : ERROR_NO_TASK);
        return NULL;
    }
    g->parent = task_ref(parent);
    return g;
}

static void leave_alone(struct group *g)
{
    abort_all(g);
    for (struct member *m = g->running.first, *next; m; m = next) {
        next = m->next;
        m->group = NULL;
        if (future_unwatch(&m->watch))
            member_free(m);
    }
    g->running = (struct members){.first = NULL};
}

/* The first line of what only the parent's loop may do. */
static void check(const struct group *g, const char *who)
{
    if (!g)
        error_not_given(who, "the group");
    loop_check_thread(g->parent->future.loop, who);
}

struct group *group_free(struct group *g)
{
    if (!g)
        return NULL;
    check(g, __func__);
    leave_alone(g);
    for (struct member *m = g->failed.first, *next; m; m = next) {
        next = m->next;
        member_free(m);
    }
    task_unref(g->parent);
    free(g);
    return NULL;
}

static int check_open(const struct group *g, struct err *e)
{
    if (g->exiting && !g->running.first)
        return err_set(e, ERROR_RUNTIME, "TaskGroup is finished");
    return g->aborting ? err_set(e, ERROR_RUNTIME, "TaskGroup is shutting down") : 0;
}

int group_create_task(struct group *g, coro_fn fn, void *arg, const char *name,
                      struct task **ret_task, struct err *e)
{
    check(g, __func__);
    GIVEN(fn);
    int r = check_open(g, e);
    if (r < 0)
        return r;
    struct member *m = malloc(sizeof *m);
    if (!m)
        return error_set(e, -ENOMEM);
    m->task = loop_create_task(g->parent->future.loop, fn, arg, name);
    if (!m->task) {
        r = error_set(e, -errno);
        free(m);
        return r;
    }
    m->group = g;
    m->watch = (struct watch){.done = on_done, .lost = on_lost};
    append(&g->running, m);
    future_watch(&m->task->future, &m->watch);
    if (ret_task)
        *ret_task = task_ref(m->task);
    return 0;
}

/* Until every task has ended; a cancellation of the parent is theirs too. *ret_cancelled: it came.
 */
static int wait_for_tasks(struct group *g, bool *ret_cancelled, struct err *e)
{
    while (g->running.first) {
        g->over = loop_create_future(g->parent->future.loop);
        if (!g->over)
            return -ENOMEM;
        int r = future_await(g->over, NULL, g->aborting ? NULL : e);
        future_unref(g->over);
        g->over = NULL;
        if (r < 0 && !g->aborting) {
            *ret_cancelled = true;
            abort_all(g);
        }
    }
    return 0;
}

static int sum_up(struct group *g, bool cancelled, struct err *e)
{
    if (g->interrupt)
        return err_set(e, g->interrupt, "%s", g->interrupted.text);
    if (cancelled && g->errors == 0) /* *e has the message */
        return e && e->code == -ECANCELED ? -ECANCELED : error_set(e, -ECANCELED);
    if (g->body.code < 0)
        g->errors++;
    if (g->errors == 0)
        return 0;
    return err_set(e, ERROR_GROUP, "unhandled errors in a TaskGroup (%zu sub-exception%s)",
                   g->errors, g->errors == 1 ? "" : "s");
}

static int check_exit(const struct group *g, struct err *e)
{
    const struct task *t = task_current();
    if (!t)
        return error_set(e, ERROR_NO_TASK);
    if (t != g->parent)
        return err_set(e, ERROR_RUNTIME, "TaskGroup is left by another task than its parent");
    return g->exiting ? err_set(e, ERROR_RUNTIME, "TaskGroup has already been left") : 0;
}

int group_exit(struct group *g, int code, struct err *e)
{
    check(g, __func__);
    int r = check_exit(g, e);
    if (r < 0)
        return r;
    bool cancelled = code == -ECANCELED;
    g->exiting = true;
    if (code < 0 && !cancelled)
        (void)err_set(&g->body, code, "%s", e ? e->text : "");
    note_interrupt(g, code, g->body.text);
    if (g->parent_cancelled && task_uncancel(g->parent) == 0)
        cancelled = false;
    if (code < 0 && !g->aborting)
        abort_all(g);
    r = wait_for_tasks(g, &cancelled, e);
    if (r < 0) {
        leave_alone(g);
        return error_set(e, r);
    }
    return sum_up(g, cancelled, e);
}

size_t group_errors(const struct group *g)
{
    check(g, __func__);
    return g->errors;
}

int group_error(const struct group *g, size_t number, struct err *e)
{
    check(g, __func__);
    for (const struct member *m = g->failed.first; m; m = m->next)
        if (number-- == 0)
            return err_set(e, m->task->future.code, "%s", error_text(m->task->future.error));
    return number == 0 && g->body.code < 0 ? err_set(e, g->body.code, "%s", g->body.text) : 0;
}
