#include "worker/crash.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

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

struct line {
    char text[160];
    size_t len;
};

static void add(struct line *l, const char *text)
{
    while (*text && l->len < sizeof l->text)
        l->text[l->len++] = *text++;
}

static void add_number(struct line *l, uint32_t n)
{
    char digits[11];
    size_t at = sizeof digits - 1;
    digits[at] = '\0';
    do {
        digits[--at] = (char)('0' + n % 10);
        n /= 10;
    } while (n);
    add(l, digits + at);
}

/* Only what is safe in a signal handler. */
static void write_note(const struct job *j)
{
    struct line l = {.len = 0};
    add(&l, note.run);
    add(&l, " ");
    add(&l, j->birth);
    add(&l, "-");
    add_number(&l, j->index);
    add(&l, "\n");
    (void)!pwrite(note.fd, l.text, l.len, 0);
}

static void go_on(int number, siginfo_t *info, void *context)
{
    size_t i = 0;
    while (i < NUMBERS - 1 && numbers[i] != number)
        i++;
    const struct sigaction *before = &note.before[i];
    if (before->sa_flags & SA_SIGINFO) {
        before->sa_sigaction(number, info, context);
    } else if (before->sa_handler == SIG_DFL || before->sa_handler == SIG_IGN) {
        struct sigaction dfl = {.sa_handler = SIG_DFL};
        (void)sigaction(number, &dfl, NULL);
    } else {
        before->sa_handler(number);
    }
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
