/* bench_exec.c - how fast the daemon runs jobs that are programs, beside a bare loop of posix_spawn
 * and pidfds that starts the same program as often in the same run; and the same again while the
 * daemon holds a gibibyte. `bench_exec [jobs]`, 1,000 jobs of /bin/true, four at a time. The daemon
 * is $RPOPD, else build/rpopd.
 *
 * The gibibyte is 16 payloads of 64 MiB in flight: jobs of a second queue whose program sleeps and
 * reads nothing, so that the daemon keeps them. */
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "tests/bench/measure.h"
#include "tests/lib/redis_server.h"

#define RUNS 5
#define AT_A_TIME 4
#define LIMIT_MS 120000
#define BALLAST 16
#define BALLAST_BYTES ((size_t)64 << 20)
#define PROGRAM "/bin/true"

static struct {
    struct redis_server *redis;
    char conf[300], log[300];
    unsigned jobs;
} bench;

static void fail(const char *what)
{
    (void)fprintf(stderr, "bench: %s; the daemon's log is %s\n", what, bench.log);
    (void)redis_server_stop(bench.redis);
    exit(1);
}

static int start_one(pid_t *ret_pid)
{
    char *argv[] = {(char *)PROGRAM, NULL};
    if (posix_spawn(ret_pid, PROGRAM, NULL, NULL, argv, environ) != 0)
        fail("cannot start " PROGRAM);
    return pidfd_open(*ret_pid, 0);
}

static double bare_rate(void)
{
    struct pollfd fds[AT_A_TIME];
    pid_t pids[AT_A_TIME];
    unsigned started = 0, ended = 0;
    int64_t began = clock_now_ns();
    for (; started < AT_A_TIME; started++)
        fds[started] = (struct pollfd){.fd = start_one(&pids[started]), .events = POLLIN};
    while (ended < bench.jobs) {
        (void)poll(fds, AT_A_TIME, -1);
        for (int i = 0; i < AT_A_TIME; i++) {
            if (fds[i].fd < 0 || !fds[i].revents)
                continue;
            (void)waitpid(pids[i], NULL, 0);
            (void)close(fds[i].fd);
            ended++;
            fds[i].fd = started < bench.jobs ? start_one(&pids[i]) : -1;
            started += fds[i].fd >= 0;
        }
    }
    return bench.jobs / ((double)(clock_now_ns() - began) / 1e9);
}

static long long done(void)
{
    const char *text = redis_server_text(bench.redis, "HGET rpopd:{bench}:stats done");
    return text ? strtoll(text, NULL, 10) : 0;
}

static void nap(void)
{
    (void)nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
}

static double daemon_rate(void)
{
    long long want = done() + bench.jobs;
    int64_t began = clock_now_ns();
    if (redis_server_integer(bench.redis, "EVAL %s 1 bench %d",
                             "for i = 1, ARGV[1] do redis.call('LPUSH', KEYS[1], i) end return 1",
                             (int)bench.jobs) != 1)
        fail("cannot push");
    for (int64_t end = clock_now_ms() + LIMIT_MS; done() < want; nap())
        if (clock_now_ms() > end)
            fail("not all jobs are done");
    return bench.jobs / ((double)(clock_now_ns() - began) / 1e9);
}

static void configure(void)
{
    FILE *f = fopen(bench.conf, "we");
    if (!f)
        fail("cannot write the configuration");
    (void)fprintf(
        f,
        "instance = \"bench\"; runtime_dir = \"%s/run\"; redis: { url = \"%s\"; };\n"
        "workers = 1; concurrency = %d;\n"
        "queues: ( { name = \"bench\"; concurrency = %d; handler: { type = \"exec\"; "
        "command = [ \"" PROGRAM "\" ]; }; },\n"
        "{ name = \"ballast\"; timeout = 0.0; handler: { type = \"exec\"; command = [ "
        "\"/bin/sleep\", \"100000\" ]; kill_grace = 1.0; }; } );\nshutdown_timeout = 0.0;",
        redis_server_dir(bench.redis), redis_server_url(bench.redis), AT_A_TIME + BALLAST,
        AT_A_TIME);
    (void)fclose(f);
}

static void load_ballast(pid_t daemon)
{
    char *payload = calloc(1, BALLAST_BYTES);
    if (!payload)
        fail("no memory");
    for (int i = 0; i < BALLAST; i++)
        (void)redis_server_integer(bench.redis, "LPUSH ballast %b", payload, BALLAST_BYTES);
    free(payload);
    int64_t end = clock_now_ms() + LIMIT_MS;
    for (; measured_memory_kb(daemon, "VmRSS") < (long)(BALLAST * BALLAST_BYTES >> 10); nap())
        if (clock_now_ms() > end)
            fail("the ballast is not held");
}

static void compare(pid_t daemon, const char *what)
{
    double rate[RUNS], bare[RUNS], ratio[RUNS];
    for (int i = 0; i < RUNS; i++) {
        bare[i] = bare_rate();
        rate[i] = daemon_rate();
        ratio[i] = rate[i] / bare[i];
        (void)printf("  run %d: rpopd %.0f jobs/s, bare loop %.0f\n", i + 1, rate[i], bare[i]);
    }
    (void)printf("%u exec jobs of " PROGRAM ", %d at a time, %s (%ld MiB resident), median of %d "
                 "runs:\n"
                 "  rpopd                        %8.0f jobs/s\n"
                 "  bare posix_spawn and pidfd   %8.0f /s        ratio %.2f\n",
                 bench.jobs, AT_A_TIME, what, measured_memory_kb(daemon, "VmRSS") / 1024, RUNS,
                 median(rate, RUNS), median(bare, RUNS), median(ratio, RUNS));
}

int main(int argc, char **argv)
{
    const char *program = getenv("RPOPD");
    bench.jobs = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 1000;
    bench.redis = bench.jobs >= AT_A_TIME ? redis_server_start(false, NULL) : NULL;
    if (!bench.redis) {
        (void)fputs("usage: bench_exec [jobs], 4 or more; it needs a redis-server\n", stderr);
        return 1;
    }
    (void)snprintf(bench.conf, sizeof bench.conf, "%s/bench.conf", redis_server_dir(bench.redis));
    (void)snprintf(bench.log, sizeof bench.log, "%s/bench.log", redis_server_dir(bench.redis));
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    configure();
    struct measured m = measured_start(program ? program : "build/rpopd", bench.conf, bench.log);
    compare(m.pid, "an empty daemon");
    load_ballast(m.pid);
    compare(m.pid, "a daemon that holds 1 GiB");
    measured_stop(&m);
    (void)redis_server_stop(bench.redis);
    return 0;
}
