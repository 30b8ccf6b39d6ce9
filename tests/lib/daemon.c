#include "tests/lib/daemon.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"

struct capture { /* a file that only grows, read on from where the last read ended */
    char *path, *text;
    size_t len, cap;
};

struct daemon {
    char *conf, *program;
    struct capture out, err;
    pid_t pid;  /* 0: none */
    int status; /* of the last one that ended, as daemon_wait returns it */
    char **env; /* NULL-terminated */
    size_t nenv;
};

static void *checked(void *p)
{
    if (!p)
        fail_msg("no memory");
    return p;
}

static char *text_of(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static char *text_of(const char *fmt, ...)
{
    char *s = NULL;
    va_list ap;
    va_start(ap, fmt);
    int n = vasprintf(&s, fmt, ap);
    va_end(ap);
    return checked(n < 0 ? NULL : s);
}

static char *program(void)
{
    const char *named = getenv("RPOPD");
    char *path = realpath(named ? named : "build/rpopd", NULL);
    if (!path)
        fail_msg("no daemon to test at %s: %s", named ? named : "build/rpopd", strerror(errno));
    return path;
}

struct daemon *daemon_new(const char *folder, const char *name)
{
    extern char **environ;
    struct daemon *d = checked(calloc(1, sizeof *d));
    d->program = program();
    d->conf = text_of("%s/%s.conf", folder, name);
    d->out.path = text_of("%s/%s.out", folder, name);
    d->err.path = text_of("%s/%s.err", folder, name);
    while (environ[d->nenv])
        d->nenv++;
    d->env = checked(calloc(d->nenv + 1, sizeof *d->env));
    for (size_t i = 0; i < d->nenv; i++)
        d->env[i] = checked(strdup(environ[i]));
    /* What the one who runs the tests was given by systemd is not the daemon's. */
    static const char *const foreign[] = {"NOTIFY_SOCKET",         "JOURNAL_STREAM",
                                          "CREDENTIALS_DIRECTORY", "RPOPD_INSTANCE",
                                          "WATCHDOG_USEC",         "RUNTIME_DIRECTORY"};
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++)
        daemon_setenv(d, foreign[i], NULL);
    return d;
}

struct daemon *daemon_free(struct daemon *d)
{
    if (!d)
        return NULL;
    daemon_kill(d);
    for (size_t i = 0; i < d->nenv; i++)
        free(d->env[i]);
    free(d->env);
    free(d->conf);
    free(d->program);
    free(d->out.path);
    free(d->out.text);
    free(d->err.path);
    free(d->err.text);
    free(d);
    return NULL;
}

void daemon_setenv(struct daemon *d, const char *name, const char *value)
{
    size_t len = strlen(name);
    for (size_t i = 0; i < d->nenv; i++)
        if (strncmp(d->env[i], name, len) == 0 && d->env[i][len] == '=') {
            free(d->env[i]);
            d->env[i] = d->env[--d->nenv];
            d->env[d->nenv] = NULL;
            break;
        }
    if (!value)
        return;
    d->env = checked(realloc(d->env, (d->nenv + 2) * sizeof *d->env));
    d->env[d->nenv++] = text_of("%s=%s", name, value);
    d->env[d->nenv] = NULL;
}

void daemon_may_crash(struct daemon *d)
{
    static const char *const names[] = {"ASAN_OPTIONS", "TSAN_OPTIONS"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char text[1024];
        const char *others = getenv(names[i]);
        (void)snprintf(text, sizeof text,
                       "%s:handle_segv=0:handle_sigbus=0:handle_sigfpe=0:handle_sigill=0",
                       others ? others : "");
        daemon_setenv(d, names[i], text);
    }
}

void daemon_configure(struct daemon *d, const char *text)
{
    FILE *f = fopen(d->conf, "we");
    if (!f || fputs(text, f) < 0 || fclose(f) != 0)
        fail_msg("%s: %s", d->conf, strerror(errno));
}

const char *daemon_file(const struct daemon *d)
{
    return d->conf;
}

/* Life ------------------------------------------------------------------------------------------
 */

static void child(const struct daemon *d, char *const *argv)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* no daemon outlives its test, whatever ends that */
    int in = open("/dev/null", O_RDONLY);
    int out = open(d->out.path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    int err = open(d->err.path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0)
        _exit(126);
    close_range(3, ~0u, 0);
    execve(d->program, argv, d->env);
    _exit(127);
}

void daemon_start_with(struct daemon *d, const char *const *args)
{
    char *argv[16] = {d->program};
    for (size_t i = 0; args[i] && i < 14; i++)
        argv[i + 1] = (char *)args[i];
    if (daemon_alive(d))
        fail_msg("the daemon %s runs already", d->conf);
    d->pid = fork();
    if (d->pid < 0)
        fail_msg("fork: %s", strerror(errno));
    if (d->pid == 0)
        child(d, argv);
}

void daemon_start(struct daemon *d)
{
    daemon_start_with(d, (const char *const[]){"-c", d->conf, NULL});
}

pid_t daemon_pid(const struct daemon *d)
{
    return d->pid;
}

bool daemon_alive(struct daemon *d)
{
    return d->pid && daemon_wait(d, 0) == -ETIMEDOUT;
}

void daemon_signal(struct daemon *d, int sig)
{
    if (!daemon_alive(d))
        fail_msg("the daemon has ended with %d before signal %d; log:\n%s", d->status, sig,
                 daemon_err(d, NULL));
    kill(d->pid, sig);
}

static bool ended_within(pid_t pid, int64_t limit_ms)
{
    int fd = pidfd_open(pid, 0);
    if (fd < 0)
        fail_msg("pidfd_open: %s", strerror(errno));
    int64_t end = clock_now_ms() + limit_ms;
    int r;
    do {
        int64_t left = end - clock_now_ms();
        r = poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, left > 0 ? (int)left : 0);
    } while (r < 0 && errno == EINTR);
    close(fd);
    return r > 0;
}

int daemon_wait(struct daemon *d, int64_t limit_ms)
{
    int status;
    if (!d->pid)
        return d->status;
    if (!ended_within(d->pid, limit_ms))
        return -ETIMEDOUT;
    if (waitpid(d->pid, &status, 0) != d->pid)
        fail_msg("waitpid: %s", strerror(errno));
    d->pid = 0;
    d->status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return d->status;
}

/* Of the process: false while it is being started, and once it has gone. */
static bool catches(pid_t pid, int sig)
{
    char path[64], line[128];
    unsigned long long caught = 0;
    (void)snprintf(path, sizeof path, "/proc/%d/status", pid);
    FILE *f = fopen(path, "re");
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, "SigCgt:", 7) == 0)
            caught = strtoull(line + 7, NULL, 16);
    if (f)
        (void)fclose(f);
    return caught >> (sig - 1) & 1;
}

int daemon_stop(struct daemon *d, int sig, int64_t limit_ms)
{
    int64_t end = clock_now_ms() + limit_ms;
    while (sig != SIGKILL && daemon_alive(d) && !catches(d->pid, sig) && clock_now_ms() < end)
        (void)usleep(1000);
    daemon_signal(d, sig);
    return daemon_wait(d, limit_ms);
}

void daemon_kill(struct daemon *d)
{
    if (d->pid) {
        kill(d->pid, SIGKILL);
        (void)waitpid(d->pid, NULL, 0);
        d->pid = 0;
        d->status = 128 + SIGKILL;
    }
}

/* Outputs ---------------------------------------------------------------------------------------
 */

static const char *read_on(struct capture *c, size_t *ret_len)
{
    int fd = open(c->path, O_RDONLY | O_CLOEXEC);
    ssize_t n = 0;
    do {
        if (c->cap - c->len < 4096)
            c->text = checked(realloc(c->text, c->cap = c->cap * 2 + 65536));
        n = fd < 0 ? 0 : pread(fd, c->text + c->len, c->cap - c->len - 1, (off_t)c->len);
        c->len += n > 0 ? (size_t)n : 0;
    } while (n > 0);
    c->text[c->len] = 0;
    if (fd >= 0)
        close(fd);
    if (ret_len)
        *ret_len = c->len;
    return c->text;
}

const char *daemon_out(struct daemon *d, size_t *ret_len)
{
    return read_on(&d->out, ret_len);
}

const char *daemon_err(struct daemon *d, size_t *ret_len)
{
    return read_on(&d->err, ret_len);
}

static unsigned count_lines(const char *text, bool (*fits)(const char *, size_t, const char *),
                            const char *what)
{
    unsigned n = 0;
    for (const char *end; (end = strchr(text, '\n')); text = end + 1)
        n += fits(text, (size_t)(end - text), what);
    return n;
}

static bool is_line(const char *line, size_t len, const char *what)
{
    return strlen(what) == len && memcmp(line, what, len) == 0;
}

static bool holds_words(const char *line, size_t len, const char *what)
{
    return memmem(line, len, what, strlen(what)) != NULL;
}

unsigned daemon_printed(struct daemon *d, const char *line)
{
    return count_lines(daemon_out(d, NULL), is_line, line);
}

unsigned daemon_logged(struct daemon *d, const char *words)
{
    return count_lines(daemon_err(d, NULL), holds_words, words);
}

unsigned daemon_log_lines(struct daemon *d)
{
    return daemon_logged(d, "");
}

/* Cost ------------------------------------------------------------------------------------------
 */

static int64_t field_of(const char *path, const char *name)
{
    char line[256];
    int64_t value = 0;
    FILE *f = fopen(path, "re");
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, name, strlen(name)) == 0)
            value = atoll(line + strlen(name));
    if (f)
        fclose(f);
    return value;
}

/* Entries of a folder in /proc/<pid>; sums a field of <entry>/status where one is named. */
static int entries_of(pid_t pid, const char *folder, const char *field, int64_t *sum)
{
    char path[320];
    int n = 0;
    (void)snprintf(path, sizeof path, "/proc/%d/%s", pid, folder);
    DIR *dir = opendir(path);
    for (struct dirent *e; dir && (e = readdir(dir));) {
        if (e->d_name[0] == '.')
            continue;
        n++;
        (void)snprintf(path, sizeof path, "/proc/%d/%s/%s/status", pid, folder, e->d_name);
        if (field)
            *sum += field_of(path, field);
    }
    if (dir)
        closedir(dir);
    return n;
}

struct daemon_usage daemon_usage(const struct daemon *d)
{
    struct daemon_usage u = {0};
    struct timespec cpu = {0};
    clockid_t clock;
    char path[64];
    if (!d->pid || clock_getcpuclockid(d->pid, &clock) != 0 || clock_gettime(clock, &cpu) != 0)
        fail_msg("the daemon does not run, its cost cannot be read");
    (void)snprintf(path, sizeof path, "/proc/%d/status", d->pid);
    u.cpu_us = cpu.tv_sec * 1000000LL + cpu.tv_nsec / 1000;
    u.rss_kb = field_of(path, "VmRSS:");
    u.peak_kb = field_of(path, "VmHWM:");
    u.threads = entries_of(d->pid, "task", "voluntary_ctxt_switches:", &u.switches);
    u.fds = entries_of(d->pid, "fd", NULL, NULL);
    return u;
}

static bool is_named(const char *path, const char *prefix)
{
    char line[64] = "";
    FILE *f = fopen(path, "re");
    bool is = f && fgets(line, sizeof line, f) && strncmp(line, prefix, strlen(prefix)) == 0;
    if (f)
        fclose(f);
    return is;
}

unsigned daemon_workers(const struct daemon *d, struct daemon_thread *ret_threads, unsigned max)
{
    char path[64];
    unsigned n = 0;
    (void)snprintf(path, sizeof path, "/proc/%d/task", d->pid);
    DIR *dir = opendir(path);
    for (struct dirent *e; dir && n < max && (e = readdir(dir));) {
        int tid = atoi(e->d_name);
        (void)snprintf(path, sizeof path, "/proc/%d/task/%d/comm", d->pid, tid);
        if (tid <= 0 || !is_named(path, "worker "))
            continue;
        (void)snprintf(path, sizeof path, "/proc/%d/task/%d/status", d->pid, tid);
        ret_threads[n].tid = tid;
        ret_threads[n++].switches = field_of(path, "voluntary_ctxt_switches:");
    }
    if (dir)
        closedir(dir);
    return n;
}
