/* plugin.h - what the files of the handler plugin share: the plugin as a worker's queue has it, the
 * job as the plugin sees it. rpopd_plugin.h is the plugin's side of it.
 * Runs on: the worker's loop thread, where nothing else is said. Errors: negative codes. */
#ifndef HANDLER_PLUGIN_H
#define HANDLER_PLUGIN_H

#include <assert.h>
#include <stdatomic.h>

#include "common/conf.h"
#include "common/job.h"
#include "worker/handler/rpopd_plugin.h"
#include "worker/runtime/executor.h"
#include "worker/runtime/task.h"

/* One layout on both sides. */
static_assert(sizeof(struct rpopd_error) == sizeof(struct err) &&
                  offsetof(struct rpopd_error, text) == offsetof(struct err, text),
              "rpopd_plugin.h says what an error looks like");

static inline struct err *plugin_err(struct rpopd_error *e)
{
    return (struct err *)(void *)e;
}

static inline struct rpopd_error *plugin_error(struct err *e)
{
    return (struct rpopd_error *)(void *)e;
}

static inline struct future *plugin_future(struct rpopd_future *f)
{
    return (struct future *)(void *)f;
}

struct rpopd_settings {
    char *const *pairs; /* name=value, NULL-terminated */
};

/* A plugin in one queue of one worker. Counted: a function in a thread may outlive the worker. */
struct plugin_hook {
    atomic_uint refs;
    atomic_uint calls; /* functions that were given to threads and have not returned */
    unsigned left;     /* jobs that were left behind and have not returned */
    struct rpopd_plugin plugin;
    void *state;
    struct rpopd_settings settings;
    /* A copy with a name of its own: what a function in a thread reads is there as long as it runs.
     * The other texts are the configuration's. */
    struct conf_queue conf;
    struct executor *threads;
};

struct plugin_child { /* a task of a job */
    struct plugin_child *next, **at;
    struct task *task;
    rpopd_function fn;
    void *arg;
    bool cancelled;
};

struct rpopd_job {
    struct plugin_hook *hook;
    struct job *given; /* the daemon's: its payload */
    struct job *job;   /* where goes what it says: one of its own (plugin_job_own) */
    struct err *why;   /* where its reason goes */
    bool wants_result;
    int64_t deadline_ms;
    char id[JOB_ID_MAX];
    struct task *task; /* that `run` is; NULL: a thread */
    struct plugin_child *children;
};

/* plugin_load.c. Any thread. Loads the shared object, for good: a process has each once. 0, -EINVAL
 * with `handler.name: what is wrong, what is allowed`. */
int plugin_load(const struct conf_queue *queue, struct rpopd_plugin *ret_plugin, struct err *e);

/* plugin_job.c */
void plugin_job_init(struct rpopd_job *p, struct plugin_hook *h, struct job *j, struct err *why);
/* Gives a job that stands for j and may outlive it: its id and attempt, no payload. NULL: no
 * memory. */
struct job *plugin_job_own(const struct plugin_hook *h, const struct job *j);
/* What `run` returned, as an outcome; *why has a sentence for all but JOB_DONE. */
enum job_outcome plugin_outcome(struct job *j, int code, struct err *why);

/* plugin_run.c. Awaits: the whole of a job. */
enum job_outcome plugin_run(struct job *j, void *state, struct err *why);

/* plugin_thread.c */
/* Gives the future of fn(arg) on a thread of the hook's, in which a crash counts as the job's. NULL
 * with *e: -ENOMEM, -EAGAIN (no thread); then fn is never called. With free_arg it takes arg, on
 * failure too: free_arg(arg) once fn has returned or never will be called, on any thread. */
struct future *plugin_call(struct plugin_hook *h, const struct job *j, rpopd_function fn, void *arg,
                           void (*free_arg)(void *arg), struct err *e);
void plugin_hook_unref(struct plugin_hook *h); /* any thread */
/* From now on the process ends without waiting for functions that still run in threads. */
void plugin_leave_at_exit(void);

#endif
