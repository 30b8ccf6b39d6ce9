/* plugin_await.c - time, tasks, and what else has a result: the runtime's, under the names of
 * rpopd_plugin.h. */
#include <errno.h>
#include <stdlib.h>

#include "common/callout.h"
#include "common/clock.h"
#include "worker/handler/plugin.h"
#include "worker/runtime/gather.h"
#include "worker/runtime/shield.h"
#include "worker/runtime/stack.h"
#include "worker/runtime/timeout.h"
#include "worker/runtime/wait.h"

#define SAME(ours, runtimes) \
    static_assert((int)(ours) == (int)(runtimes), "rpopd_plugin.h has the runtime's numbers")
SAME(RPOPD_INVALID_STATE, ERROR_INVALID_STATE);
SAME(RPOPD_MISUSE, ERROR_RUNTIME);
SAME(RPOPD_TYPE, ERROR_TYPE);
SAME(RPOPD_QUEUE_EMPTY, ERROR_QUEUE_EMPTY);
SAME(RPOPD_QUEUE_FULL, ERROR_QUEUE_FULL);
SAME(RPOPD_NO_LOOP, ERROR_NO_LOOP);
SAME(RPOPD_NOT_LOCKED, ERROR_NOT_LOCKED);
SAME(RPOPD_OTHER_LOOP, ERROR_OTHER_LOOP);
SAME(RPOPD_NO_TASK, ERROR_NO_TASK);
SAME(RPOPD_ALL_COMPLETED, WAIT_ALL_COMPLETED);
SAME(RPOPD_FIRST_COMPLETED, WAIT_FIRST_COMPLETED);
SAME(RPOPD_FIRST_ERROR, WAIT_FIRST_EXCEPTION);
static_assert(sizeof(struct rpopd_gathered) == sizeof(struct gathered) &&
                  offsetof(struct rpopd_gathered, value) == offsetof(struct gathered, value) &&
                  offsetof(struct rpopd_gathered, error) == offsetof(struct gathered, error),
              "rpopd_plugin.h says what is gathered");
static struct rpopd_future *given(struct future *f)
{
    return (struct rpopd_future *)(void *)f;
}

static struct future *const *futures(struct rpopd_future *const *fs)
{
    return (struct future *const *)(const void *)fs;
}

/* ---- time ---- */

int64_t rpopd_now_ms(void)
{
    return clock_now_ms();
}

static int slept(int r, struct rpopd_error *e)
{
    return r < 0 ? error_set(plugin_err(e), r) : 0;
}

int rpopd_sleep(int64_t ms, struct rpopd_error *e)
{
    return slept(task_sleep(ms), e);
}

int rpopd_sleep_until(int64_t deadline_ms, struct rpopd_error *e)
{
    return slept(task_sleep_until(deadline_ms), e);
}

/* ---- tasks: each has a node in its job's list until it has ended ---- */

static int child_main(void *arg, void **ret_result, struct err *e)
{
    const struct plugin_child *c = arg;
    return c->fn(c->arg, ret_result, plugin_error(e));
}

static void child_ended(struct future *f, void *arg)
{
    struct plugin_child *c = arg;
    (void)f;
    *c->at = c->next;
    if (c->next)
        c->next->at = c->at;
    task_unref(c->task);
    free(c);
}

static void child_link(struct rpopd_job *p, struct plugin_child *c)
{
    c->next = p->children;
    c->at = &p->children;
    if (c->next)
        c->next->at = &c->next;
    p->children = c;
}

static struct rpopd_future *no_child(struct plugin_child *c, int code)
{
    free(c);
    errno = -code;
    return NULL;
}

struct rpopd_future *rpopd_task(struct rpopd_job *job, rpopd_function fn, void *arg)
{
    struct plugin_child *c = malloc(sizeof *c);
    if (!c)
        return no_child(NULL, -ENOMEM);
    *c = (struct plugin_child){.fn = fn, .arg = arg};
    c->task = task_create(child_main, c, job->hook->conf.name);
    if (!c->task)
        return no_child(c, -errno);
    struct task *t = c->task;
    if (future_add_done_callback(task_future(t), child_ended, c) < 0) {
        (void)task_cancel(t); /* it has not begun: its body never runs */
        task_unref(t);
        return no_child(c, -ENOMEM);
    }
    child_link(job, c);
    return given(task_future(task_ref(t)));
}

/* A task that is awaited ends, and its node has gone: child_ended was registered first. One that
 * had ended before has its callback still in the queue. */
static void end_child(struct plugin_child *c)
{
    struct task *t = task_ref(c->task);
    if (!c->cancelled)
        (void)task_cancel(t);
    c->cancelled = true;
    (void)task_await(t, NULL, NULL);
    task_unref(t);
    (void)task_sleep(0);
}

int rpopd_tasks_end(struct rpopd_job *job, struct rpopd_error *e)
{
    if (!job->task || job->task != task_current())
        return err_set(plugin_err(e), RPOPD_MISUSE, "only run itself can end the job's tasks");
    for (struct plugin_child *c = job->children; c; c = c->next) {
        (void)task_cancel(c->task);
        c->cancelled = true;
    }
    while (job->children)
        end_child(job->children);
    return 0;
}

/* ---- futures ---- */

struct rpopd_future *rpopd_future_new(void)
{
    struct loop *l = loop_running();
    if (l)
        return given(loop_create_future(l));
    errno = -ERROR_NO_LOOP;
    return NULL;
}

int rpopd_future_set(struct rpopd_future *f, int code, void *result)
{
    return code < 0 ? future_set_error(plugin_future(f), code, "%s", error_sentence(code))
                    : future_set_result(plugin_future(f), result);
}

struct rpopd_future *rpopd_future_ref(struct rpopd_future *f)
{
    return given(future_ref(plugin_future(f)));
}

void rpopd_future_unref(struct rpopd_future *f)
{
    future_unref(plugin_future(f));
}

bool rpopd_future_done(const struct rpopd_future *f)
{
    return future_done((const struct future *)(const void *)f);
}

bool rpopd_future_cancel(struct rpopd_future *f)
{
    return future_cancel(plugin_future(f));
}

int rpopd_future_result(struct rpopd_future *f, void **result, struct rpopd_error *e)
{
    return future_result(plugin_future(f), result, plugin_err(e));
}

int rpopd_await(struct rpopd_future *f, void **result, struct rpopd_error *e)
{
    return future_await(plugin_future(f), result, plugin_err(e));
}

int rpopd_wait_for(struct rpopd_future *f, int64_t timeout_ms, void **result, struct rpopd_error *e)
{
    return wait_for(plugin_future(f), timeout_ms, result, plugin_err(e));
}

int rpopd_wait(struct rpopd_future **fs, size_t count, int64_t timeout_ms, enum rpopd_when when,
               size_t *done, struct rpopd_error *e)
{
    size_t ended, pending;
    int r = future_wait((struct future **)(void *)fs, count, timeout_ms, (enum wait_when)when,
                        &ended, &pending, plugin_err(e));
    if (r == 0 && done)
        *done = ended;
    return r;
}

struct rpopd_future *rpopd_shield(struct rpopd_future *f)
{
    return given(shield(plugin_future(f)));
}

/* ---- many ---- */

const char *rpopd_failure_text(const struct rpopd_failure *x)
{
    return error_text((const struct error *)(const void *)x);
}

struct rpopd_future *rpopd_gather(struct rpopd_future *const *fs, size_t count, bool return_errors)
{
    return given(future_gather(futures(fs), count, return_errors ? GATHER_RETURN_ERRORS : 0));
}

/* The gather holds the tasks; where there is none, those that were made never begin. */
static void drop_all(struct rpopd_future **fs, size_t count, bool cancel)
{
    for (size_t i = 0; i < count; i++) {
        if (cancel)
            (void)rpopd_future_cancel(fs[i]);
        rpopd_future_unref(fs[i]);
    }
    free(fs);
}

struct rpopd_future *rpopd_gather_calls(struct rpopd_job *job, const struct rpopd_call *calls,
                                        size_t count, bool return_errors)
{
    struct rpopd_future **fs = calloc(count ? count : 1, sizeof *fs), *all = NULL;
    size_t made = 0;
    if (!fs)
        return NULL; /* calloc has set errno */
    while (made < count && (fs[made] = rpopd_task(job, calls[made].fn, calls[made].arg)))
        made++;
    if (made == count)
        all = rpopd_gather(fs, count, return_errors);
    int why = errno;
    drop_all(fs, made, !all);
    errno = why;
    return all;
}

/* ---- time limits ---- */

struct rpopd_timeout *rpopd_timeout_enter(int64_t timeout_ms, struct rpopd_error *e)
{
    struct timeout *t = malloc(sizeof *t);
    int r = t ? timeout_enter(t, timeout_ms, plugin_err(e)) : error_set(plugin_err(e), -ENOMEM);
    if (r == 0)
        return (struct rpopd_timeout *)(void *)t;
    free(t);
    return NULL;
}

int rpopd_timeout_exit(struct rpopd_timeout *t, int code, struct rpopd_error *e)
{
    int r = timeout_exit((struct timeout *)(void *)t, code, plugin_err(e));
    free(t);
    return r;
}

/* ---- stacks ---- */

void rpopd_callout(void (*fn)(void *arg), void *arg)
{
    callout(fn, arg);
}

size_t rpopd_stack_bytes(void)
{
    return STACK_BYTES;
}
