/* bench_pool.c - how fast a trivial job in Python runs in a pool, beside the same script started
 * for each job by exec, in the same daemon with as many processes at a time. `bench_pool [jobs]`,
 * 20,000 jobs for the pool and a fiftieth of them for exec. The daemon is $RPOPD, else build/rpopd.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "tests/bench/measure.h"
#include "tests/lib/redis_server.h"

#define RUNS 3
#define EXEC_PART 50
#define LIMIT_MS 300000
#define PYTHON "/usr/bin/python3"

static struct {
    struct redis_server *redis;
    char conf[300], log[300], script[300];
    int processes;
} bench;

static void fail(const char *what)
{
    (void)fprintf(stderr, "bench: %s; the daemon's log is %s\n", what, bench.log);
    (void)redis_server_stop(bench.redis);
    exit(1);
}

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "we");
    if (!f || fputs(text, f) < 0 || fclose(f) != 0)
        fail("cannot write a file");
}

/* What exec starts need not load more than it uses. */
static const char script[] =
    "import sys\n"
    "def work(payload):\n"
    "    return payload.upper()\n"
    "requests, answers = sys.stdin.buffer, sys.stdout.buffer\n"
    "if sys.argv[1:] != ['pool']:\n"
    "    answers.write(work(requests.read()))\n"
    "    sys.exit()\n"
    "import json\n"
    "for line in iter(requests.readline, b''):\n"
    "    job = json.loads(line)\n"
    "    result = work(requests.read(job['len']))\n"
    "    answer = {'id': job['id'], 'status': 'done', 'len': len(result)}\n"
    "    answers.write(json.dumps(answer).encode() + b'\\n' + result)\n"
    "    answers.flush()\n";

static void configure(void)
{
    char text[2000];
    (void)snprintf(text, sizeof text,
                   "instance = \"bench\"; runtime_dir = \"%s/run\"; redis: { url = \"%s\"; };\n"
                   "log: { level = \"warning\"; };\n"
                   "queues: ( { name = \"pool\"; handler: { type = \"pool\"; processes = %d;\n"
                   "    command = [ \"" PYTHON "\", \"%s\", \"pool\" ]; }; },\n"
                   "  { name = \"exec\"; concurrency = %d; handler: { type = \"exec\";\n"
                   "    command = [ \"" PYTHON "\", \"%s\" ]; }; } );\n",
                   redis_server_dir(bench.redis), redis_server_url(bench.redis), bench.processes,
                   bench.script, bench.processes, bench.script);
    write_file(bench.script, script);
    write_file(bench.conf, text);
}

static long long done(const char *queue)
{
    const char *text = redis_server_text(bench.redis, "HGET rpopd:{%s}:stats done", queue);
    return text ? strtoll(text, NULL, 10) : 0;
}

/* Jobs a second, from the push to the last one that is settled. */
static double drain(const char *queue, unsigned jobs)
{
    long long want = done(queue) + jobs;
    int64_t began = clock_now_ns(), end = clock_now_ms() + LIMIT_MS;
    if (redis_server_integer(bench.redis, "EVAL %s 1 %s %d",
                             "for i = 1, ARGV[1] do redis.call('LPUSH', KEYS[1], 'job ' .. i) end "
                             "return 1",
                             queue, (int)jobs) != 1)
        fail("cannot push");
    while (done(queue) < want) {
        if (clock_now_ms() > end)
            fail("not all jobs are done");
        (void)nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    }
    return jobs / ((double)(clock_now_ns() - began) / 1e9);
}

static void compare(unsigned jobs)
{
    double pool[RUNS], exec[RUNS], ratio[RUNS];
    (void)drain("pool", (unsigned)bench.processes); /* they are started */
    for (int i = 0; i < RUNS; i++) {
        pool[i] = drain("pool", jobs);
        exec[i] = drain("exec", jobs / EXEC_PART);
        ratio[i] = pool[i] / exec[i];
        (void)printf("  run %d: pool %.0f jobs/s, exec %.0f\n", i + 1, pool[i], exec[i]);
    }
    (void)printf("a trivial job in Python, %d processes, median of %d runs:\n"
                 "  pool                          %10.0f jobs/s\n"
                 "  exec                          %10.0f jobs/s\n"
                 "  pool to exec                  %10.1f (at least 10 is asked for)\n",
                 bench.processes, RUNS, median(pool, RUNS), median(exec, RUNS),
                 median(ratio, RUNS));
}

int main(int argc, char *argv[])
{
    const char *program = getenv("RPOPD");
    unsigned jobs = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 20000;
    if (access(PYTHON, X_OK) != 0) {
        (void)puts("bench_pool: there is no " PYTHON " here");
        return 0;
    }
    bench.redis = redis_server_start(false, NULL);
    if (!bench.redis)
        return 1;
    bench.processes = (int)sysconf(_SC_NPROCESSORS_ONLN);
    const char *dir = redis_server_dir(bench.redis);
    (void)snprintf(bench.conf, sizeof bench.conf, "%s/rpopd.conf", dir);
    (void)snprintf(bench.log, sizeof bench.log, "%s/rpopd.log", dir);
    (void)snprintf(bench.script, sizeof bench.script, "%s/job.py", dir);
    configure();
    struct measured m = measured_start(program ? program : "build/rpopd", bench.conf, bench.log);
    compare(jobs < EXEC_PART ? EXEC_PART : jobs);
    measured_stop(&m);
    (void)redis_server_stop(bench.redis);
    return 0;
}
