/* act.c - the plugin of the tests: does what the payload says and prints what happens to it. */
#undef _FORTIFY_SOURCE
#define _FORTIFY_SOURCE 2 /* a jump to where nothing lies any more ends the process */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <rpopd_plugin.h>

struct state {
    const struct rpopd_settings *settings;
    pthread_t worker;
};

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void say(const char *format, ...)
{
    char line[300];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line, sizeof line - 1, format, args);
    va_end(args);
    if (n > (int)sizeof line - 2)
        n = (int)sizeof line - 2;
    line[n] = '\n';
    (void)!write(STDOUT_FILENO, line, (size_t)n + 1);
}

static int init(const struct rpopd_settings *settings, void **state, struct rpopd_error *e)
{
    const char *fail = rpopd_setting(settings, "fail"), *pair;
    if (fail)
        return rpopd_error(e, -atoi(fail), "settings.fail: %s, as it was asked for", fail);
    struct state *s = calloc(1, sizeof *s);
    if (!s)
        return -ENOMEM;
    s->settings = settings;
    s->worker = pthread_self();
    *state = s;
    for (size_t i = 0; (pair = rpopd_setting_at(settings, i)); i++)
        say("setting %s", pair);
    say("init");
    return 0;
}

static void leave(void *state)
{
    say("exit");
    free(state);
}

__attribute__((destructor)) static void unload(void)
{
    say("unloaded");
}

/* ---- what a job can be ---- */

static int slowly(void *arg, void **result, struct rpopd_error *e)
{
    const char *payload = arg;
    (void)result;
    int r = rpopd_sleep(600000, e);
    say("%s cleans up", payload);
    (void)rpopd_sleep(10, NULL);
    say("%s has cleaned up", payload);
    return r;
}

static int with_a_child(struct rpopd_job *job, const char *payload, struct rpopd_error *e)
{
    struct rpopd_future *f = rpopd_task(job, slowly, (void *)payload);
    if (!f)
        return -ENOMEM;
    rpopd_future_unref(f);
    (void)rpopd_sleep(0, e);
    say("%s returns", payload);
    return 0;
}

static int doze(void *arg, void **result, struct rpopd_error *e)
{
    struct timespec t = {.tv_sec = *(int *)arg};
    (void)e;
    (void)nanosleep(&t, NULL);
    free(arg);
    *result = (void *)"dozed";
    return 0;
}

/* Its thread goes on for so many seconds when the job is cancelled. */
static int in_thread(struct rpopd_job *job, int seconds, struct rpopd_error *e)
{
    int *arg = malloc(sizeof *arg);
    void *result = NULL;
    if (!arg)
        return -ENOMEM;
    *arg = seconds;
    int r = rpopd_to_thread(job, doze, arg, &result, e);
    if (r == 0)
        say("%s", (char *)result);
    return r;
}

/* A function that blocks: `poll` until it sees that the job is cancelled; `late` likewise, and has
 * done it then; `deaf PATH` until there is such a file. */
static int block(struct rpopd_job *job, const struct state *s, const char *payload)
{
    struct timespec step = {.tv_nsec = 10000000};
    bool deaf = strncmp(payload, "deaf ", 5) == 0;
    say("%.4s begins%s", payload, pthread_equal(s->worker, pthread_self()) ? " on the loop" : "");
    while (deaf ? access(payload + 5, F_OK) < 0 : !rpopd_job_cancelled(job))
        (void)nanosleep(&step, NULL);
    say("%.4s ends", payload);
    (void)rpopd_job_output(job, payload, strlen(payload));
    return strcmp(payload, "poll") == 0 ? -ECANCELED : 0;
}

/* A coroutine that ends when there is such a file, and not before: `stubborn PATH` awaits and does
 * not listen, `hog PATH` never awaits. */
static int go_on(struct rpopd_job *job, const char *payload)
{
    struct timespec step = {.tv_nsec = 10000000};
    bool hog = payload[0] == 'h';
    const char *path = strchr(payload, '/');
    say("%.*s begins", (int)strcspn(payload, " "), payload);
    while (access(path, F_OK) < 0)
        if (hog)
            (void)nanosleep(&step, NULL);
        else
            (void)rpopd_sleep(10, NULL);
    say("%.*s ends%s", (int)strcspn(payload, " "), payload,
        rpopd_job_cancelled(job) ? ", cancelled" : "");
    (void)rpopd_job_output(job, rpopd_job_payload(job, NULL), 4);
    return rpopd_job_result(job, payload, strlen(payload));
}

static int overflow(volatile char *from)
{
    volatile char room[4096];
    room[0] = from[0];
    return room[0] == 1 ? 0 : overflow(room) + room[0];
}

/* Unseen by a sanitizer, whose report would end the process otherwise. */
static __attribute__((noinline, no_sanitize("address"), no_sanitize("thread"),
                      no_sanitize("undefined"))) void
fault(void)
{
    volatile char *volatile nowhere = NULL;
    *nowhere = 1;
}

static jmp_buf mark;

static __attribute__((noinline)) int leave_mark(void)
{
    volatile char room[256] = {0};
    return setjmp(mark) + room[1];
}

static int jump_out(void)
{
    (void)leave_mark(); /* it has returned: its frame is gone */
    longjmp(mark, 1);
}

/* As a library does that knows no other way out of its depths; it awaited something on the way. */
static int jump_within(struct rpopd_error *e)
{
    jmp_buf here;
    if (setjmp(here) == 0) {
        (void)rpopd_sleep(10, e);
        longjmp(here, 1);
    }
    say("jumped");
    return 0;
}

static int crash(const char *how)
{
    volatile char start = 0;
    if (strcmp(how, "overflow") == 0)
        return overflow(&start);
    if (strcmp(how, "segv") == 0)
        fault();
    if (strcmp(how, "jump") == 0)
        return jump_out();
    abort();
}

static int crash_in_thread(void *arg, void **result, struct rpopd_error *e)
{
    (void)arg, (void)result, (void)e;
    return crash("segv");
}

static int retry_with_evidence(struct rpopd_job *job)
{
    rpopd_job_exit_code(job, 3);
    rpopd_job_signal(job, 9);
    rpopd_job_status(job, 503);
    (void)rpopd_job_output(job, "the last words", 14);
    return rpopd_job_retry(job, 0, "not yet, try %u of %u", rpopd_job_attempt(job),
                           rpopd_job_attempts(job));
}

static int run(struct rpopd_job *job, void *state, struct rpopd_error *e)
{
    size_t len;
    const char *payload = rpopd_job_payload(job, &len);
    if (strcmp(payload, "poll") == 0 || strcmp(payload, "late") == 0 ||
        strncmp(payload, "deaf ", 5) == 0)
        return block(job, state, payload);
    if (strncmp(payload, "slow", 4) == 0) {
        say("%s begins", payload);
        return slowly((void *)payload, NULL, e);
    }
    if (strncmp(payload, "stubborn ", 9) == 0 || strncmp(payload, "hog ", 4) == 0)
        return go_on(job, payload);
    if (strncmp(payload, "child", 5) == 0)
        return with_a_child(job, payload, e);
    if (strncmp(payload, "thread", 6) == 0)
        return in_thread(job, atoi(payload + 6), e);
    if (strcmp(payload, "crash in thread") == 0)
        return rpopd_to_thread(job, crash_in_thread, NULL, NULL, e);
    if (strncmp(payload, "crash ", 6) == 0)
        return crash(payload + 6);
    if (strcmp(payload, "jump") == 0)
        return jump_within(e);
    if (strncmp(payload, "exit ", 5) == 0)
        exit(atoi(payload + 5));
    if (strcmp(payload, "retry") == 0)
        return retry_with_evidence(job);
    if (strcmp(payload, "dead") == 0)
        return rpopd_job_dead(job, "'%s' is no job", payload);
    if (strncmp(payload, "code ", 5) == 0)
        return rpopd_error(e, -atoi(payload + 5), "the last error");
    if (strncmp(payload, "return ", 7) == 0)
        return atoi(payload + 7);
    if (strcmp(payload, "swallow") == 0) {
        (void)rpopd_sleep(600000, NULL);
        return rpopd_job_retry(job, 0, "it makes a failure of it");
    }
    say("done %s of %s", payload, rpopd_job_queue(job));
    rpopd_log(job, RPOPD_WARNING, "done '%s'", payload);
    return rpopd_job_result(job, payload, len);
}

RPOPD_PLUGIN("act", init, run, leave);
const struct rpopd_plugin another = {RPOPD_ABI, sizeof another, "another", NULL, run, NULL};
