/* The handlers of build/tests/e2e/rpopd-crash: the daemon as it is, except that `null` waits as
 * `sleep` does, or crashes where its payload names a way to, or does not end when it is cancelled,
 * or lacks something the first time, where its payload names a file once that is there, or lacks
 * something and leaves a thread behind that does nothing more. */
#include "worker/handler/handler.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "worker/runtime/loop.h"
#include "worker/runtime/task.h"

static volatile int zero;
static atomic_int shortages;

static int overflow(volatile char *from)
{
    volatile char room[4096];
    room[0] = from[0];
    if (room[0] == 1)
        return 0; /* never */
    return overflow(room) + room[0];
}

/* Cancelled, it takes its time. */
static enum job_outcome stay(int64_t ms)
{
    (void)!write(STDOUT_FILENO, "Stays\n", 6);
    while (task_sleep_until(clock_now_ms() + 600000) != -ECANCELED)
        ;
    (void)task_sleep_until(clock_now_ms() + ms);
    (void)!write(STDOUT_FILENO, "Goes\n", 5);
    return JOB_CANCELLED;
}

static enum job_outcome lack(struct job *j)
{
    const char *file = j->payload + 5;
    while (*file && access(file + 1, F_OK) != 0)
        if (task_sleep_until(clock_now_ms() + 10) == -ECANCELED)
            return JOB_CANCELLED;
    if (atomic_fetch_add(&shortages, 1))
        return JOB_DONE;
    job_result(j, strdup("half of a result"), 16);
    return JOB_AGAIN;
}

/* Keeps its thread for ever, once what returned before it has gone back. */
static void hog(void *arg)
{
    static int turns = 10;
    while (!turns)
        (void)pause();
    turns--;
    (void)loop_call_soon(loop_running(), hog, arg);
}

/* Unseen by a sanitizer, whose report would end the process otherwise. */
static __attribute__((noinline, no_sanitize("address"), no_sanitize("thread"),
                      no_sanitize("undefined"))) void
fault(void)
{
    volatile char *volatile nowhere = NULL;
    *nowhere = 1;
}

static enum job_outcome crash_run(struct job *j, void *state, struct err *why)
{
    volatile char start = 0;
    if (strncmp(j->payload, "segv", 4) == 0)
        fault();
    if (strncmp(j->payload, "abrt", 4) == 0)
        abort();
    if (strncmp(j->payload, "fpe", 3) == 0)
        (void)raise(SIGFPE);
    if (strncmp(j->payload, "overflow", 8) == 0)
        zero = overflow(&start);
    if (strncmp(j->payload, "stubborn", 8) == 0)
        return stay(2000);
    if (strncmp(j->payload, "short", 5) == 0)
        return lack(j);
    if (strncmp(j->payload, "hog", 3) == 0) {
        hog(NULL);
        return JOB_AGAIN;
    }
    return handler_sleep.run(j, state, why);
}

static const struct handler crash = {.type = "null", .run = crash_run};

const struct handler *handler_find(const char *type)
{
    return strcmp(type, "null") == 0 ? &crash : strcmp(type, "sleep") == 0 ? &handler_sleep : NULL;
}
