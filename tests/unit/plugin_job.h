/* plugin_job.h - a job of a plugin that nobody loaded: its queue, its hook, and a task to call the
 * functions of rpopd_plugin.h from. Include once; it brings cmocka. */
#ifndef TESTS_UNIT_PLUGIN_JOB_H
#define TESTS_UNIT_PLUGIN_JOB_H

#include "tests/unit/combine.h"

#include "worker/handler/plugin.h"

static char name_of_queue[] = "q'1", no_text[] = "";
static const struct conf_queue conf = {.name = name_of_queue,
                                       .attempts = 7,
                                       .timeout_ms = 5000,
                                       .output_limit = 4,
                                       .max_payload = 100,
                                       .result_list = no_text,
                                       .on_success = no_text};
static struct plugin_hook hook;

static UNUSED void hook_begin(unsigned threads)
{
    hook = (struct plugin_hook){.conf = conf, .threads = executor_new(threads)};
    atomic_init(&hook.refs, 1);
    assert_non_null(hook.threads);
}

/* Every call has returned and given its share of the hook back. */
static UNUSED void hook_end(void)
{
    executor_shutdown(hook.threads, true, false);
    executor_unref(hook.threads);
    assert_int_equal(atomic_load(&hook.calls), 0);
    assert_int_equal(atomic_load(&hook.refs), 1);
}

static UNUSED struct job *job_of(const struct conf_queue *c, const char *payload)
{
    struct job *j = job_new(c, payload, strlen(payload));
    assert_non_null(j);
    j->birth = "run.1-2";
    j->index = 3;
    j->attempt = 2;
    return j;
}

#endif
