#include "tests/lib/pool_child.h"

#include <fcntl.h>
#include <glob.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LIFE_S 600 /* one that hangs does not outlive a test that failed for long */

struct request {
    char id[128];
    size_t len;
    char *payload; /* a NUL behind it */
};

static void tell(const char *what, size_t len)
{
    char line[256];
    const char *path = getenv("POOL_CHILD_LOG");
    int n = snprintf(line, sizeof line, "%d %.*s\n", getpid(), len < 200 ? (int)len : 200, what);
    int fd = path ? open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600) : -1;
    if (fd >= 0) {
        (void)!write(fd, line, (size_t)n);
        (void)close(fd);
    }
}

static void wait_ms(long ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    while (nanosleep(&t, &t) < 0)
        ;
}

static bool read_head(struct request *r)
{
    char line[8192];
    const char *id, *len;
    if (!fgets(line, sizeof line, stdin))
        return false;
    id = strstr(line, "{\"id\":\"");
    len = strstr(line, ",\"len\":");
    if (!id || !len || sscanf(id + 7, "%127[^\"]", r->id) != 1)
        exit(99);
    r->len = strtoul(len + 7, NULL, 10);
    return true;
}

static void read_payload(struct request *r)
{
    r->payload = calloc(1, r->len + 1);
    if (!r->payload || fread(r->payload, 1, r->len, stdin) != r->len)
        exit(98);
}

static void answer(const char *id, const char *more, const void *result, size_t len)
{
    (void)printf("{\"id\":\"%s\",%s,\"len\":%zu}\n", id, more, len);
    (void)fwrite(result, 1, len, stdout);
    (void)fflush(stdout);
}

static void done(const struct request *r)
{
    answer(r->id, "\"status\":\"done\"", r->payload, r->len);
}

static void grow(const char *bytes)
{
    size_t n = strtoul(bytes, NULL, 10);
    char *p = malloc(n);
    if (p)
        memset(p, 1, n); /* kept on purpose: the process has grown */
    static char *kept;
    kept = p;
    (void)kept;
}

/* That much, in lines, on descriptor 2. */
static void flood(const char *mib)
{
    static const char line[] = "a line of the flood\n", end[] = "the end\n";
    static char block[1024 * (sizeof line - 1)];
    size_t left = strtoul(mib, NULL, 10) << 20;
    for (size_t at = 0; at < sizeof block; at += sizeof line - 1)
        memcpy(block + at, line, sizeof line - 1);
    for (; left >= sizeof block; left -= sizeof block)
        (void)!write(STDERR_FILENO, block, sizeof block);
    (void)!write(STDERR_FILENO, end, sizeof end - 1);
}

static void hang(bool with_grandchild)
{
    if (with_grandchild && fork() == 0) {
        (void)signal(SIGTERM, SIG_IGN);
        tell("grandchild", 10);
    }
    for (;;)
        (void)pause();
}

/* The rest behind the command's name; NULL: another command. */
static const char *is(const struct request *r, const char *name)
{
    size_t n = strlen(name);
    if (strncmp(r->payload, name, n) || (r->payload[n] && r->payload[n] != ' '))
        return NULL;
    return r->payload[n] ? r->payload + n + 1 : r->payload + n;
}

static void break_protocol(const struct request *r)
{
    const char *rest;
    if ((rest = is(r, "babble"))) {
        (void)printf("%s\n", rest);
        (void)fflush(stdout);
    } else if (is(r, "wrong-id")) {
        answer("another", "\"status\":\"done\"", "", 0);
    } else if (is(r, "large")) {
        (void)printf("{\"id\":\"%s\",\"status\":\"done\",\"len\":99999999999}\n", r->id);
        (void)fflush(stdout);
    } else if (is(r, "surplus")) {
        (void)printf("{\"id\":\"%s\",\"status\":\"done\"}\nand more\n", r->id);
        (void)fflush(stdout);
    } else if (is(r, "endless")) {
        for (;;)
            (void)printf("%01000d", 0);
    } else if (is(r, "late")) {
        done(r);
        wait_ms(50);
        (void)printf("and more\n");
        (void)fflush(stdout);
        tell("spoken", 6);
    } else if (is(r, "close")) {
        (void)close(STDOUT_FILENO);
        hang(false);
    } else {
        done(r);
    }
}

/* Every process makes a file of its own there, and goes on once there are so many. */
static void meet(const char *how_many_and_where)
{
    char *folder, path[256];
    unsigned long n = strtoul(how_many_and_where, &folder, 10), found;
    (void)snprintf(path, sizeof path, "%s/met-%d", folder + 1, getpid());
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd >= 0)
        (void)close(fd);
    do {
        glob_t g = {0};
        (void)snprintf(path, sizeof path, "%s/met-*", folder + 1);
        found = glob(path, 0, NULL, &g) == 0 ? g.gl_pathc : 0;
        globfree(&g);
        wait_ms(5);
    } while (found < n);
}

static void obey(const struct request *r)
{
    char more[256];
    const char *rest;
    if ((rest = is(r, "sleep"))) {
        wait_ms(strtol(rest, NULL, 10));
        done(r);
    } else if ((rest = is(r, "meet"))) {
        meet(rest);
        done(r);
    } else if (is(r, "length")) {
        (void)fprintf(stderr, "%zu bytes\n", r->len);
        done(r);
    } else if ((rest = is(r, "grow"))) {
        grow(rest);
        done(r);
    } else if ((rest = is(r, "retry"))) {
        (void)snprintf(more, sizeof more,
                       "\"status\":\"retry\",\"error\":\"come back\",\"delay\":%.20s", rest);
        answer(r->id, more, "", 0);
    } else if ((rest = is(r, "dead"))) {
        (void)snprintf(more, sizeof more, "\"status\":\"dead\",\"error\":\"%.200s\"", rest);
        answer(r->id, more, "", 0);
    } else if ((rest = is(r, "err"))) {
        (void)fprintf(stderr, "%s\n", rest);
        done(r);
    } else if ((rest = is(r, "flood"))) {
        flood(rest);
        answer(r->id, "\"status\":\"dead\",\"error\":\"flooded\"", "", 0);
    } else if ((rest = is(r, "exit"))) {
        (void)fprintf(stderr, "leaving\n");
        _exit((int)strtol(rest, NULL, 10));
    } else if ((rest = is(r, "signal"))) {
        (void)raise((int)strtol(rest, NULL, 10));
    } else if (is(r, "stay")) {
        (void)signal(SIGTERM, SIG_IGN);
        done(r);
        hang(false);
    } else if (is(r, "hang-hard")) {
        (void)signal(SIGTERM, SIG_IGN);
        hang(false);
    } else if (is(r, "hang") || is(r, "tree")) {
        hang(is(r, "tree") != NULL);
    } else {
        break_protocol(r);
    }
}

static void start(void)
{
    const char *how = getenv("POOL_CHILD_START");
    (void)alarm(LIFE_S);
    tell("start", 5);
    if (how && !strncmp(how, "sleep ", 6))
        wait_ms(strtol(how + 6, NULL, 10));
    if (how && !strcmp(how, "fail")) {
        (void)fprintf(stderr, "no such module\n");
        _exit(3);
    }
}

void pool_child_main(int argc, char *const argv[])
{
    struct request r;
    if (argc != 2 || strcmp(argv[1], POOL_CHILD) != 0)
        return;
    start();
    while (read_head(&r)) {
        if (r.len == POOL_CHILD_EARLY) {
            answer(r.id, "\"status\":\"done\"", "", 0);
            hang(false);
        }
        read_payload(&r);
        tell(r.payload, r.len);
        obey(&r);
        free(r.payload);
    }
    const char *how = getenv("POOL_CHILD_END");
    for (int i = 0; how && i < 5000; i++)
        (void)fprintf(stderr, "%099d\n", i); /* more than a pipe holds */
    tell("eof", 3);
    _exit(0);
}

/* ---- in the test ---- */

unsigned pool_child_told(const char *what, pid_t *ret_pid)
{
    char line[300];
    unsigned n = 0;
    FILE *f = fopen(getenv("POOL_CHILD_LOG"), "re");
    while (f && fgets(line, sizeof line, f)) {
        const char *rest = strchr(line, ' ');
        line[strcspn(line, "\n")] = '\0';
        if (!rest || strcmp(rest + 1, what) != 0)
            continue;
        n++;
        if (ret_pid)
            *ret_pid = (pid_t)strtol(line, NULL, 10);
    }
    if (f)
        (void)fclose(f);
    return n;
}

bool pool_child_gone(pid_t pid)
{
    char path[64], state = '?';
    (void)snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *f = fopen(path, "re");
    if (!f)
        return true;
    int n = fscanf(f, "%*d (%*[^)]) %c", &state);
    (void)fclose(f);
    return n != 1 || state == 'Z' || state == 'X';
}

const char *pool_child_command(char out[POOL_CHILD_COMMAND_MAX])
{
    char self[512];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self);
    (void)snprintf(out, POOL_CHILD_COMMAND_MAX, "\"%.*s\", \"" POOL_CHILD "\"", n < 0 ? 0 : (int)n,
                   self);
    return out;
}
