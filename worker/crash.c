#include "worker/crash.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/fatal.h"
#include "common/job.h"
#include "worker/runtime/context.h"
#include "worker/runtime/overflow.h"
#include "worker/worker.h"

static const int numbers[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};

#define NUMBERS (sizeof numbers / sizeof *numbers)

static struct { /* written once, before the handlers are installed */
    int fd;
    char run[32];
    struct sigaction before[NUMBERS];
} note;

static const struct context_var job_of_task = {.name = "job"};

/* Only what is safe in a signal handler. */
static void write_note(const struct job *j)
{
    struct fatal_line l = {.len = 0};
    fatal_add(&l, note.run);
    fatal_add(&l, " ");
    fatal_add(&l, j->birth);
    fatal_add(&l, "-");
    fatal_add_number(&l, j->index);
    fatal_add(&l, "\n");
    (void)!pwrite(note.fd, l.text, l.len, 0);
}

static void go_on(int number, siginfo_t *info, void *context)
{
    size_t i = 0;
    while (i < NUMBERS - 1 && numbers[i] != number)
        i++;
    fatal_pass_on(&note.before[i], number, info, context);
    if (info->si_code <= 0)
        (void)raise(number); /* it was sent: nothing faults again on return */
}

static void on_crash(int number, siginfo_t *info, void *context)
{
    const struct job *j = context_get(&job_of_task);
    bool by_itself = info->si_code > 0 || info->si_pid == getpid();
    if (j && by_itself)
        write_note(j);
    go_on(number, info, context);
}

void crash_job(struct job *j)
{
    (void)context_set(&job_of_task, j);
}

void worker_note_crashes(int fd, const char *run)
{
    struct sigaction sa = {.sa_sigaction = on_crash, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    overflow_thread_init(); /* its handler is there before, whatever the workers have come to */
    (void)sigemptyset(&sa.sa_mask);
    note.fd = fd;
    (void)snprintf(note.run, sizeof note.run, "%s", run);
    for (size_t i = 0; i < NUMBERS; i++)
        (void)sigaction(numbers[i], NULL, &note.before[i]);
    for (size_t i = 0; i < NUMBERS; i++)
        (void)sigaction(numbers[i], &sa, NULL);
}
