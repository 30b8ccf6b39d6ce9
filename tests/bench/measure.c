#include "tests/bench/measure.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static void die(const char *what)
{
    perror(what);
    exit(1);
}

struct measured measured_start(const char *program, const char *conf, const char *log)
{
    int fd[2], err = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (err < 0 || pipe2(fd, O_CLOEXEC) < 0)
        die("bench");
    pid_t pid = fork();
    if (pid < 0)
        die("bench: fork");
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (dup2(fd[1], STDOUT_FILENO) >= 0 && dup2(err, STDERR_FILENO) >= 0)
            (void)execl(program, program, "-c", conf, (char *)NULL);
        _exit(127);
    }
    (void)close(fd[1]);
    (void)close(err);
    return (struct measured){pid, fd[0]};
}

void measured_stop(struct measured *m)
{
    int status = 0;
    (void)kill(m->pid, SIGTERM);
    if (waitpid(m->pid, &status, 0) != m->pid || status != 0) {
        (void)fprintf(stderr, "bench: the daemon ended with status %#x\n", (unsigned)status);
        exit(1);
    }
    (void)close(m->out);
}

double measured_cpu_s(pid_t pid)
{
    char path[64], text[1024];
    (void)snprintf(path, sizeof path, "/proc/%ld/stat", (long)pid);
    FILE *f = fopen(path, "re");
    size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;
    if (f)
        (void)fclose(f);
    text[n] = '\0';
    /* Fields 14 and 15; the name in field 2 may hold blanks and ends with the last ')'. */
    char *at = strrchr(text, ')'), *save = NULL;
    double ticks = 0;
    int field = 3;
    for (at = at ? strtok_r(at + 1, " ", &save) : NULL; at && field <= 15;
         at = strtok_r(NULL, " ", &save), field++)
        if (field >= 14)
            ticks += strtod(at, NULL);
    return ticks / (double)sysconf(_SC_CLK_TCK);
}

long measured_memory_kb(pid_t pid, const char *field)
{
    char path[64], line[256];
    size_t len = strlen(field);
    long kb = -1;
    (void)snprintf(path, sizeof path, "/proc/%ld/status", (long)pid);
    FILE *f = fopen(path, "re");
    while (f && kb < 0 && fgets(line, sizeof line, f))
        if (strncmp(line, field, len) == 0 && line[len] == ':')
            kb = strtol(line + len + 1, NULL, 10);
    if (f)
        (void)fclose(f);
    return kb;
}

static int by_double(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int by_int64(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

double median(double *at, size_t n)
{
    qsort(at, n, sizeof *at, by_double);
    return n % 2 ? at[n / 2] : (at[n / 2 - 1] + at[n / 2]) / 2;
}

double percentile_us(int64_t *ns, size_t n, double part)
{
    qsort(ns, n, sizeof *ns, by_int64);
    size_t i = (size_t)((double)n * part);
    return (double)ns[i < n ? i : n - 1] / 1000;
}
