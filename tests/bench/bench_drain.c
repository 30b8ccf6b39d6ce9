/* bench_drain.c - how fast the daemon drains a list at-least-once, beside a bare client that does
 * the same Redis operations on the same server in the same run; and how long a single job waits for
 * an idle daemon. `bench_drain [jobs]`, 500,000 jobs of 16 bytes. The daemon is $RPOPD, else
 * build/rpopd. */
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "common/clock.h"
#include "tests/bench/bare.h"
#include "tests/bench/measure.h"
#include "tests/lib/redis_server.h"

#define RUNS 3
#define PUSHES 2000
#define LIMIT_MS 120000

static struct bench {
    struct redis_server *redis;
    redisContext *c;
    const char *program;
    char conf[300], log[300];
    uint32_t jobs;
} bench;

struct drained {
    double jobs_per_s, daemon_cpu_s, redis_cpu_s, burst;
    long rss_kb, peak_kb;
};

static void fail(const char *what)
{
    (void)fprintf(stderr, "bench: %s; the daemon's log is below\n", what);
    FILE *f = fopen(bench.log, "re");
    for (int ch; f && (ch = fgetc(f)) != EOF;)
        (void)fputc(ch, stderr);
    (void)redis_server_stop(bench.redis);
    exit(1);
}

static long long ask(const char *command)
{
    return redis_server_integer(bench.redis, command);
}

static void nap(void)
{
    (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

/* Until `command` answers `want`. */
static void await(const char *command, long long want, const char *what)
{
    for (int64_t end = clock_now_ms() + LIMIT_MS; clock_now_ms() < end; nap())
        if (ask(command) == want)
            return;
    fail(what);
}

static void configure(const char *handler)
{
    FILE *f = fopen(bench.conf, "we");
    if (!f)
        fail("cannot write the configuration");
    (void)fprintf(f,
                  "instance = \"bench\"; runtime_dir = \"%s/run\"; redis: { url = \"%s\"; };\n"
                  "workers = 1; concurrency = 4000;\n"
                  "queues: ( { name = \"" BARE_QUEUE "\"; handler: { type = \"%s\"; }; } );\n",
                  redis_server_dir(bench.redis), redis_server_url(bench.redis), handler);
    (void)fclose(f);
}

/* Calls of a command since the last CONFIG RESETSTAT. */
static double calls(const char *command)
{
    char name[64];
    (void)snprintf(name, sizeof name, "cmdstat_%s:calls=", command);
    const char *text = redis_server_text(bench.redis, "INFO commandstats");
    const char *at = text ? strstr(text, name) : NULL;
    return at ? strtod(at + strlen(name), NULL) : 0;
}

/* From the first job that is gone from the list to the moment at which nothing of any is left. */
static struct drained drain_by_daemon(void)
{
    struct drained d = {0};
    bare_push(bench.c, bench.jobs);
    (void)ask("CONFIG RESETSTAT");
    double redis_cpu = measured_cpu_s(redis_server_pid(bench.redis));
    struct measured m = measured_start(bench.program, bench.conf, bench.log);
    int64_t end = clock_now_ms() + LIMIT_MS;
    while (ask("LLEN " BARE_QUEUE) == bench.jobs)
        if (clock_now_ms() > end)
            fail("the daemon claims nothing");
    int64_t began = clock_now_ns();
    await("LLEN " BARE_QUEUE, 0, "the list is not drained");
    await("EXISTS rpopd:{" BARE_QUEUE "}:batches", 0, "not all is settled");
    int64_t took = clock_now_ns() - began;
    if (ask("HGET rpopd:{" BARE_QUEUE "}:stats done") == 0)
        fail("nothing was counted as done");
    d.jobs_per_s = bench.jobs / ((double)took / 1e9);
    d.daemon_cpu_s = measured_cpu_s(m.pid);
    d.redis_cpu_s = measured_cpu_s(redis_server_pid(bench.redis)) - redis_cpu;
    d.rss_kb = measured_memory_kb(m.pid, "VmRSS");
    d.peak_kb = measured_memory_kb(m.pid, "VmHWM");
    d.burst = calls("lmove") / (calls("hset") > 0 ? calls("hset") : 1);
    measured_stop(&m);
    return d;
}

static double rate(int64_t took_ns)
{
    return bench.jobs / ((double)took_ns / 1e9);
}

static void compare_drains(void)
{
    double daemon[RUNS], bare[RUNS], lmove[RUNS], ratio[RUNS], cpu[RUNS], redis_cpu[RUNS];
    struct drained d = {0};
    configure("null");
    for (int i = 0; i < RUNS; i++) {
        d = drain_by_daemon();
        uint32_t burst = d.burst < 1 ? 1 : (uint32_t)(d.burst + 0.5);
        bare_push(bench.c, bench.jobs);
        bare[i] = rate(bare_drain(bench.c, bench.jobs, burst));
        bare_push(bench.c, bench.jobs);
        lmove[i] = rate(bare_drain_lmove(bench.c, bench.jobs, burst));
        daemon[i] = d.jobs_per_s;
        ratio[i] = daemon[i] / bare[i];
        cpu[i] = d.daemon_cpu_s;
        redis_cpu[i] = d.redis_cpu_s;
        (void)printf(
            "  run %d: rpopd %.0f jobs/s, bare client %.0f, plain LMOVE %.0f, bursts of %u\n",
            i + 1, daemon[i], bare[i], lmove[i], burst);
    }
    (void)printf("drain of %u null jobs of 16 bytes, at-least-once, median of %d runs:\n"
                 "  rpopd                         %10.0f jobs/s\n"
                 "  bare client, same operations  %10.0f jobs/s   ratio %.2f\n"
                 "  bare client, plain LMOVE      %10.0f jobs/s\n"
                 "  CPU: rpopd %.2f s, Redis %.2f s; memory of rpopd: %.1f MB, at most %.1f MB\n",
                 bench.jobs, RUNS, median(daemon, RUNS), median(bare, RUNS), median(ratio, RUNS),
                 median(lmove, RUNS), median(cpu, RUNS), median(redis_cpu, RUNS),
                 (double)d.rss_kb / 1024, (double)d.peak_kb / 1024);
}

static void compare_latencies(void)
{
    static int64_t daemon[PUSHES], bare[PUSHES];
    configure("sleep");
    struct measured m = measured_start(bench.program, bench.conf, bench.log);
    for (size_t i = 0; i < PUSHES; i++) {
        bare_await_blocked(bench.c, 1);
        daemon[i] = bare_push_until(bench.c, "0", m.out, "Done 0\n");
    }
    measured_stop(&m);
    bare_latency(bench.c, redis_server_socket(bench.redis), bare, PUSHES);
    double p50 = percentile_us(daemon, PUSHES, 0.50), bare50 = percentile_us(bare, PUSHES, 0.50);
    (void)printf(
        "pick-up by an idle consumer, from LPUSH to `Done 0` read from its output, %d pushes:\n"
        "  rpopd                         p50 %6.0f us   p99 %6.0f us   ratio %.2f\n"
        "  bare client, BLPOP            p50 %6.0f us   p99 %6.0f us\n",
        PUSHES, p50, percentile_us(daemon, PUSHES, 0.99), p50 / bare50, bare50,
        percentile_us(bare, PUSHES, 0.99));
}

int main(int argc, char **argv)
{
    const char *program = getenv("RPOPD");
    bench.program = program ? program : "build/rpopd";
    bench.jobs = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 500000;
    bench.redis = bench.jobs ? redis_server_start(false, NULL) : NULL;
    if (!bench.redis) {
        (void)fputs("usage: bench_drain [jobs]; it needs a redis-server\n", stderr);
        return 1;
    }
    (void)snprintf(bench.conf, sizeof bench.conf, "%s/bench.conf", redis_server_dir(bench.redis));
    (void)snprintf(bench.log, sizeof bench.log, "%s/bench.log", redis_server_dir(bench.redis));
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    bench.c = bare_connect(redis_server_socket(bench.redis));
    compare_drains();
    compare_latencies();
    redisFree(bench.c);
    (void)redis_server_stop(bench.redis);
    return 0;
}
