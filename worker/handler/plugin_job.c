/* plugin_job.c - the job as a plugin sees it: what it reads, what it says of the outcome, the log.
 * Some of this runs on a task's small stack: what formats is called out. */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "worker/handler/plugin.h"
#include "worker/runtime/error.h"

void plugin_job_init(struct rpopd_job *p, struct plugin_hook *h, struct job *j, struct err *why)
{
    *p = (struct rpopd_job){.hook = h, .given = j, .job = j, .why = why};
    p->wants_result = job_wants_result(j);
    p->deadline_ms = j->conf->timeout_ms ? clock_wall_ms() + j->conf->timeout_ms : 0;
    (void)job_id(j, p->id);
}

struct job *plugin_job_own(const struct plugin_hook *h, const struct job *j)
{
    const char *birth = j->birth ? j->birth : "";
    struct job *own = job_new(&h->conf, birth, strlen(birth));
    if (!own)
        return NULL;
    own->birth = own->payload; /* the other's goes with its batch */
    own->index = j->index;
    own->attempt = j->attempt;
    return own;
}

/* ---- what it reads ---- */

const char *rpopd_setting_at(const struct rpopd_settings *s, size_t number)
{
    for (size_t i = 0; s->pairs[i]; i++)
        if (i == number)
            return s->pairs[i];
    return NULL;
}

const char *rpopd_setting(const struct rpopd_settings *s, const char *name)
{
    size_t n = strlen(name);
    for (char *const *pair = s->pairs; *pair; pair++)
        if (strncmp(*pair, name, n) == 0 && (*pair)[n] == '=')
            return *pair + n + 1;
    return NULL;
}

const char *rpopd_job_payload(const struct rpopd_job *job, size_t *len)
{
    if (len)
        *len = job->given->len;
    return job->given->payload;
}

const char *rpopd_job_id(const struct rpopd_job *job)
{
    return job->id;
}

const char *rpopd_job_queue(const struct rpopd_job *job)
{
    return job->hook->conf.name;
}

unsigned rpopd_job_attempt(const struct rpopd_job *job)
{
    return job->job->attempt;
}

unsigned rpopd_job_attempts(const struct rpopd_job *job)
{
    return (unsigned)job->hook->conf.attempts;
}

int64_t rpopd_job_deadline_ms(const struct rpopd_job *job)
{
    return job->deadline_ms;
}

bool rpopd_job_cancelled(const struct rpopd_job *job)
{
    return atomic_load(&job->given->cancel) != CANCEL_NONE ||
           atomic_load(&job->job->cancel) != CANCEL_NONE;
}

/* ---- what it says ---- */

int rpopd_error(struct rpopd_error *e, int code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)error_format(plugin_err(e), code, format, &args);
    va_end(args);
    return code;
}

int rpopd_job_retry(struct rpopd_job *job, int64_t delay_ms, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)error_format(job->why, ERROR_RUNTIME, format, &args);
    va_end(args);
    job->job->delay_ms = delay_ms < 0 ? -1 : delay_ms;
    return RPOPD_RETRY;
}

int rpopd_job_dead(struct rpopd_job *job, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)error_format(job->why, ERROR_RUNTIME, format, &args);
    va_end(args);
    return RPOPD_DEAD;
}

int rpopd_job_result(struct rpopd_job *job, const void *bytes, size_t len)
{
    if (!job->wants_result)
        return 0;
    void *copy = malloc(len ? len : 1);
    if (!copy)
        return -ENOMEM;
    if (len)
        memcpy(copy, bytes, len);
    job_result(job->job, copy, len);
    return 0;
}

int rpopd_job_output(struct rpopd_job *job, const void *bytes, size_t len)
{
    return job_output(job->job, len ? bytes : "", len);
}

void rpopd_job_exit_code(struct rpopd_job *job, int code)
{
    job->job->evidence.exit_code = code;
}

void rpopd_job_signal(struct rpopd_job *job, int signal)
{
    job->job->evidence.signal = signal;
}

void rpopd_job_status(struct rpopd_job *job, int status)
{
    job->job->evidence.status = status;
}

void rpopd_log(const struct rpopd_job *job, enum rpopd_level level, const char *format, ...)
{
    static const enum conf_log_level levels[] = {CONF_LOG_DEBUG, CONF_LOG_INFO, CONF_LOG_WARNING,
                                                 CONF_LOG_ERROR};
    struct err text = {0};
    char what[LOG_QUOTE_MAX], queue[LOG_QUOTE_MAX];
    va_list args;
    va_start(args, format);
    (void)error_format(&text, -1, format, &args);
    va_end(args);
    enum conf_log_level at = (unsigned)level <= RPOPD_ERROR ? levels[level] : CONF_LOG_ERROR;
    (void)log_quote(text.text, strlen(text.text), what);
    if (!job)
        return log_at(at, "plugin", "what=%s", what);
    const char *name = job->hook->conf.name;
    log_at(at, "plugin", "queue=%s id=%s what=%s", log_quote(name, strlen(name), queue), job->id,
           what);
}

/* ---- the outcome ---- */

static enum job_outcome outcome_of(int code)
{
    switch (code) {
    case RPOPD_DONE:
        return JOB_DONE;
    case RPOPD_DEAD:
        return JOB_DEAD;
    case RPOPD_AGAIN:
    case -ENOMEM:
    case -EMFILE:
    case -ENFILE:
        return JOB_AGAIN;
    case -ECANCELED:
        return JOB_CANCELLED;
    default:
        return JOB_RETRY;
    }
}

/* As a program's. */
static enum job_outcome too_large(struct job *j, struct err *why)
{
    (void)err_set(why, -EMSGSIZE, "its result is larger than max_payload, %" PRId64 " bytes",
                  j->conf->max_payload);
    job_result(j, NULL, 0);
    return JOB_DEAD;
}

enum job_outcome plugin_outcome(struct job *j, int code, struct err *why)
{
    enum job_outcome outcome = outcome_of(code);
    bool cancelled = atomic_load(&j->cancel) != CANCEL_NONE;
    if (outcome == JOB_DONE && j->result_len > (size_t)j->conf->max_payload)
        return too_large(j, why);
    if (outcome == JOB_DONE)
        why->code = 0;
    if (cancelled && outcome != JOB_DONE && outcome != JOB_DEAD)
        return JOB_CANCELLED; /* whatever it made of the -ECANCELED it got */
    if (outcome == JOB_DONE || outcome == JOB_CANCELLED)
        return outcome;
    why->text[sizeof why->text - 1] = '\0'; /* a plugin may have filled it by itself */
    if (code > RPOPD_AGAIN)
        (void)err_set(why, ERROR_RUNTIME, "the plugin returned %d, which is no outcome", code);
    else if (code < 0 && why->code != code) /* the sentence is of another error */
        (void)err_set(why, code, "%s", error_sentence(code));
    else if (!why->code)
        (void)err_set(why, ERROR_RUNTIME, "the plugin gives no reason");
    return outcome;
}
