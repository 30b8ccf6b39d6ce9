/* bench_http.c - how many requests a second the daemon makes, with all that keeps a job, beside a
 * bare libcurl client at the same nginx in the same run. `bench_http [requests]`, 20,000, 100 at a
 * time. The daemon is $RPOPD, else build/rpopd. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <netinet/in.h>

#include <hiredis/hiredis.h>

#include "common/clock.h"
#include "tests/bench/bare.h"
#include "tests/bench/bare_http.h"
#include "tests/bench/measure.h"
#include "tests/lib/port.h"
#include "tests/lib/redis_server.h"

#define RUNS 5
#define AT_ONCE 100
#define LIMIT_MS 120000

static struct bench {
    struct redis_server *redis;
    redisContext *c;
    const char *program, *nginx;
    pid_t server;
    int port;
    char url[64], conf[300], log[300], nginx_conf[300];
    unsigned requests;
} bench;

static void end(int code)
{
    if (bench.server > 0) {
        (void)kill(bench.server, SIGKILL);
        (void)waitpid(bench.server, NULL, 0);
    }
    if (bench.c)
        redisFree(bench.c);
    (void)redis_server_stop(bench.redis);
    exit(code);
}

static void fail(const char *what)
{
    (void)fprintf(stderr, "bench: %s; the daemon's log is below\n", what);
    FILE *f = fopen(bench.log, "re");
    for (int ch; f && (ch = fgetc(f)) != EOF;)
        (void)fputc(ch, stderr);
    end(1);
}

static const char *find_nginx(void)
{
    static const char *const paths[] = {"/usr/sbin/nginx", "/usr/bin/nginx",
                                        "/usr/local/sbin/nginx", "/usr/local/bin/nginx"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        if (access(paths[i], X_OK) == 0)
            return paths[i];
    return NULL;
}

static void write_nginx(void)
{
    FILE *f = fopen(bench.nginx_conf, "we");
    if (!f)
        fail("cannot write the server's configuration");
    (void)fprintf(f,
                  "daemon off; master_process off; pid nginx.pid; error_log nginx.err;\n"
                  "events { worker_connections 4000; }\n"
                  "http { access_log off; keepalive_requests 100000000;\n"
                  " client_body_temp_path b; proxy_temp_path p; fastcgi_temp_path f;\n"
                  " scgi_temp_path s; uwsgi_temp_path u;\n"
                  " server { listen 127.0.0.1:%d backlog=4000; location / { return 204; } } }\n",
                  bench.port);
    (void)fclose(f);
}

static void start_nginx(void)
{
    const char *dir = redis_server_dir(bench.redis);
    if (port_hold(&bench.port) < 0) /* until the end */
        fail("no free port");
    (void)snprintf(bench.url, sizeof bench.url, "http://127.0.0.1:%d/", bench.port);
    (void)snprintf(bench.nginx_conf, sizeof bench.nginx_conf, "%s/nginx.conf", dir);
    write_nginx();
    bench.server = fork();
    if (bench.server == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)execl(bench.nginx, "nginx", "-p", dir, "-c", bench.nginx_conf, "-e", "nginx.err",
                    (char *)NULL);
        _exit(127);
    }
}

static bool listens(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)bench.port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    bool good = fd >= 0 && connect(fd, (struct sockaddr *)&at, sizeof at) == 0;
    (void)close(fd);
    return good;
}

static void nap(void)
{
    (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

static void configure(void)
{
    FILE *f = fopen(bench.conf, "we");
    if (!f)
        fail("cannot write the configuration");
    (void)fprintf(f,
                  "instance = \"bench\"; runtime_dir = \"%s/run\"; redis: { url = \"%s\"; };\n"
                  "workers = 1; concurrency = %d;\n"
                  "queues: ( { name = \"" BARE_QUEUE "\"; attempts = 1;\n"
                  "  handler: { type = \"http\"; url = \"%s\"; }; } );\n",
                  redis_server_dir(bench.redis), redis_server_url(bench.redis), AT_ONCE, bench.url);
    (void)fclose(f);
}

static long long ask(const char *command)
{
    return redis_server_integer(bench.redis, command);
}

/* From the first job that is gone from the list to the moment at which nothing of any is left. */
static double by_daemon(double *ret_cpu_s)
{
    bare_push(bench.c, bench.requests);
    (void)ask("DEL rpopd:{" BARE_QUEUE "}:stats");
    struct measured m = measured_start(bench.program, bench.conf, bench.log);
    int64_t limit = clock_now_ms() + LIMIT_MS;
    while (ask("LLEN " BARE_QUEUE) == bench.requests)
        if (clock_now_ms() > limit)
            fail("the daemon claims nothing");
    int64_t began = clock_now_ns();
    while (ask("LLEN " BARE_QUEUE) || ask("EXISTS rpopd:{" BARE_QUEUE "}:batches")) {
        if (clock_now_ms() > limit)
            fail("not all is done");
        nap();
    }
    int64_t took = clock_now_ns() - began;
    const char *done = redis_server_text(bench.redis, "HGET rpopd:{" BARE_QUEUE "}:stats done");
    if (!done || strtoul(done, NULL, 10) != bench.requests)
        fail("not all requests were answered");
    *ret_cpu_s = measured_cpu_s(m.pid);
    measured_stop(&m);
    return bench.requests / ((double)took / 1e9);
}

static void compare(void)
{
    double daemon[RUNS], bare[RUNS], ratio[RUNS], cpu[RUNS], bare_cpu[RUNS];
    for (int i = 0; i < RUNS; i++) {
        daemon[i] = by_daemon(&cpu[i]);
        bare_cpu[i] = measured_cpu_s(getpid());
        bare[i] = bench.requests / ((double)bare_http(bench.url, bench.requests, AT_ONCE) / 1e9);
        bare_cpu[i] = measured_cpu_s(getpid()) - bare_cpu[i];
        ratio[i] = daemon[i] / bare[i];
        (void)printf("  run %d: rpopd %.0f requests/s, bare libcurl %.0f\n", i + 1, daemon[i],
                     bare[i]);
    }
    (void)printf("%u requests of 16 bytes to nginx, %d at a time, median of %d runs:\n"
                 "  rpopd, a job each             %10.0f requests/s\n"
                 "  bare libcurl, multi_socket    %10.0f requests/s   ratio %.2f\n"
                 "  CPU: rpopd %.2f s, bare libcurl %.2f s\n",
                 bench.requests, AT_ONCE, RUNS, median(daemon, RUNS), median(bare, RUNS),
                 median(ratio, RUNS), median(cpu, RUNS), median(bare_cpu, RUNS));
}

int main(int argc, char **argv)
{
    const char *program = getenv("RPOPD");
    bench.program = program ? program : "build/rpopd";
    bench.requests = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 20000;
    bench.nginx = find_nginx();
    if (!bench.nginx) {
        (void)puts("requests to nginx: not installed");
        return 0;
    }
    bench.redis = bench.requests ? redis_server_start(false, NULL) : NULL;
    if (!bench.redis) {
        (void)fputs("usage: bench_http [requests]; it needs a redis-server\n", stderr);
        return 1;
    }
    (void)snprintf(bench.conf, sizeof bench.conf, "%s/bench.conf", redis_server_dir(bench.redis));
    (void)snprintf(bench.log, sizeof bench.log, "%s/bench.log", redis_server_dir(bench.redis));
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    bench.c = bare_connect(redis_server_socket(bench.redis));
    start_nginx();
    for (int64_t limit = clock_now_ms() + LIMIT_MS; !listens(); nap())
        if (clock_now_ms() > limit)
            fail("nginx does not listen");
    configure();
    compare();
    end(0);
}
