/* The handler http and what goes wrong between it and a server: connections, TLS, names, proxies,
 * descriptors; what waits holds nothing up and ends when it is told to. */
#include "tests/e2e/web.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "tests/e2e/ctl.h"
#include "tests/lib/port.h"

/* Connections ------------------------------------------------------------------------------------
 */

static int listen_at(const char *address, int type, int port, int *ret_port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    socklen_t len = sizeof at;
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(inet_pton(AF_INET, address, &at.sin_addr), 1);
    if (bind(fd, (struct sockaddr *)&at, sizeof at) < 0) {
        (void)close(fd);
        return -1;
    }
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    *ret_port = ntohs(at.sin_port);
    return fd;
}

static void start_at(struct scene *s, const char *scheme, int port, const char *of_handler,
                     const char *of_queue)
{
    char *text;
    assert_true(asprintf(&text,
                         "queues = ( { name = \"queue\"; handler: { type = \"http\"; "
                         "url = \"%s://127.0.0.1:%d/\"; %s }; %s } );",
                         scheme, port, of_handler, of_queue) > 0);
    scene_start(s, text);
    free(text);
}

static void nobody_who_listens_is_another_try(void **state)
{
    struct scene *s = *state;
    int port, fd = listen_at("127.0.0.1", SOCK_STREAM, 0, &port); /* bound: nobody else gets it */
    start_at(s, "http", port, "", "attempts = 2; backoff: { base = 0.01; };");
    push(s, "queue", "x");
    await_stat(s, "dead", 1);
    assert_int_equal(stat_of(s, "queue", "retry"), 1);
    assert_non_null(strstr(dead_letter(s, "x", "reason"), "onnect"));
    assert_string_equal(dead_letter(s, "x", "status"), "");
    (void)close(fd);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
}

/* Its backlog is full: the system answers no more. */
static void who_never_accepts_is_given_up_after_connect_timeout(void **state)
{
    struct scene *s = *state;
    int port, fd = listen_at("127.0.0.1", SOCK_STREAM, 0, &port), full[8];
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(listen(fd, 0), 0);
    for (size_t i = 0; i < 8; i++) {
        full[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        (void)connect(full[i], (struct sockaddr *)&at, sizeof at);
    }
    start_at(s, "http", port, "connect_timeout = 0.3;", "timeout = 0.0; attempts = 1;");
    push(s, "queue", "x");
    await_stat(s, "dead", 1);
    assert_non_null(strstr(dead_letter(s, "x", "reason"), "imeout"));
    for (size_t i = 0; i < 8; i++)
        (void)close(full[i]);
    (void)close(fd);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
}

static void half_an_answer_is_none(void **state)
{
    struct scene *s = *state;
    web_start(s, web, "/cut", "", "attempts = 2; backoff: { base = 0.01; };");
    push(s, "queue", "x");
    await_stat(s, "dead", 1);
    assert_int_equal(web_saw(web, "POST /cut "), 2);
    assert_string_equal(dead_letter(s, "x", "status"), "");
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
}

static void a_connection_that_is_reset_is_another_try(void **state)
{
    struct scene *s = *state;
    web_start(s, web, "/reset", "", "attempts = 2; backoff: { base = 0.01; };");
    push(s, "queue", "x");
    await_stat(s, "dead", 1);
    assert_int_equal(stat_of(s, "queue", "retry"), 1);
    assert_int_equal(web_saw(web, "POST /reset "), 2);
    assert_non_null(strstr(dead_letter(s, "x", "reason"), "reset"));
    assert_string_equal(dead_letter(s, "x", "status"), "");
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
}

/* Ends -------------------------------------------------------------------------------------------
 */

static void ends_by_its_time_limit(struct scene *s, const char *path)
{
    char gone[32];
    (void)snprintf(gone, sizeof gone, "GONE %s ", path);
    web_start(s, web, path, "", "timeout = 0.5; attempts = 1;");
    push(s, "queue", "x");
    await_stat(s, "dead", 1);
    assert_string_equal(dead_letter(s, "x", "reason"), "timeout after 0.5 s");
    scene_await(s, LIMIT_MS, web_saw(web, gone) == 1);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
}

static void a_time_limit_ends_the_transfer(void **state)
{
    ends_by_its_time_limit(*state, "/hang");
}

/* There is always a byte more of its answer: that it is never silent is no excuse. */
static void an_answer_that_trickles_ends_likewise(void **state)
{
    ends_by_its_time_limit(*state, "/drip");
}

/* What is in flight, by rpopctl; "" where there is nothing. Borrowed until the next call. */
static const char *id_in_flight(struct scene *s)
{
    static char id[128];
    json_t *doc = ctl_json(s, 0, (const char *const[]){"jobs", NULL});
    (void)snprintf(id, sizeof id, "%s", ctl_text(json_array_get(doc, 0), "id"));
    json_decref(doc);
    return id;
}

static void a_cancelled_job_leaves_its_server_at_once(void **state)
{
    struct scene *s = *state;
    web_start(s, web, "/{payload}", "", "timeout = 0.0;");
    push(s, "queue", "before");
    await_stat(s, "done", 1);
    push(s, "queue", "hang");
    scene_await(s, LIMIT_MS, web_saw(web, "POST /hang ") == 1);
    assert_int_equal(CTL(s, "cancel", id_in_flight(s))->code, 0);
    await_stat(s, "cancelled", 1);
    assert_string_equal(dead_letter(s, "hang", "reason"), "cancelled");
    scene_await(s, LIMIT_MS, web_saw(web, "GONE /hang conn=1") == 1);
    push(s, "queue", "behind");
    await_stat(s, "done", 2);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
}

static void a_quick_end_gives_back_what_waits(void **state)
{
    struct scene *s = *state;
    web_start(s, web, "/hang", "", "timeout = 0.0;");
    push_numbers(s, "queue", "a", 0, 20);
    scene_await(s, LIMIT_MS, web_saw(web, "POST /hang ") == 20);
    scene_stop(s, SIGQUIT, 0, LIMIT_MS);
    assert_int_equal(ask_int(s, "LLEN queue"), 20);
    scene_await(s, LIMIT_MS, web_saw(web, "GONE /hang ") == 20);
}

/* Descriptors ------------------------------------------------------------------------------------
 */

static void limit_descriptors(const struct scene *s, rlim_t n)
{
    struct rlimit limit;
    assert_int_equal(prlimit(daemon_pid(s->daemon), RLIMIT_NOFILE, NULL, &limit), 0);
    limit.rlim_cur = n;
    assert_int_equal(prlimit(daemon_pid(s->daemon), RLIMIT_NOFILE, &limit, NULL), 0);
}

/* A job for which there is none has made no try. */
static void without_descriptors_a_job_is_run_again(void **state)
{
    struct scene *s = *state;
    web_start(s, web, "/x", "", "attempts = 1;");
    limit_descriptors(s, 3);
    push(s, "queue", "x");
    scene_await(s, LIMIT_MS, daemon_logged(s->daemon, "event=short") > 0);
    limit_descriptors(s, 1024);
    scene_await(s, LIMIT_MS, stat_of(s, "queue", "done") == 1);
    assert_int_equal(web_saw(web, " attempt=1 "), 1);
    assert_int_equal(stat_of(s, "queue", "dead"), 0);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
}

/* Proxies ----------------------------------------------------------------------------------------
 */

static void a_proxy_is_asked_where_one_is_set(void **state)
{
    struct scene *s = *state;
    char *text;
    other = web_new(s, (const char *const[]){"--proxy", NULL});
    assert_true(asprintf(&text,
                         "queues = ( { name = \"queue\"; handler: { type = \"http\"; "
                         "url = \"http://no.such.host.invalid/{payload}\"; "
                         "proxy = \"http://127.0.0.1:%d\"; }; } );",
                         web_port(other)) > 0);
    daemon_setenv(s->daemon, "no_proxy", "*");
    scene_start(s, text);
    free(text);
    push(s, "queue", "x");
    await_stat(s, "done", 1);
    assert_int_equal(web_saw(other, "POST http://no.such.host.invalid/x "), 1);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
}

static void the_environments_proxies_do_not_count(void **state)
{
    struct scene *s = *state;
    char url[64];
    other = web_new(s, (const char *const[]){"--proxy", NULL});
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%d", web_port(other));
    daemon_setenv(s->daemon, "http_proxy", url);
    daemon_setenv(s->daemon, "all_proxy", url);
    web_start(s, web, "/x", "", "");
    push(s, "queue", "x");
    await_stat(s, "done", 1);
    assert_int_equal(web_saw(web, "POST /x "), 1);
    assert_string_equal(web_log(other), "");
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
}

/* TLS --------------------------------------------------------------------------------------------
 */

/* A certificate that vouches for itself. */
static void make_certificate(struct scene *s, const char *name, const char *of, char cert[128],
                             char key[128])
{
    char command[700];
    (void)snprintf(cert, 128, "%s/%s.pem", s->folder, name);
    (void)snprintf(key, 128, "%s/%s.key", s->folder, name);
    (void)snprintf(command, sizeof command,
                   "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes "
                   "-days 30 -subj /CN=test -addext subjectAltName=%s -keyout %s -out %s "
                   "2>/dev/null",
                   of, key, cert);
    assert_int_equal(system(command), 0);
}

static void start_tls(struct scene *s, int port, const char *ca_file, const char *of_queue)
{
    char ca[160];
    (void)snprintf(ca, sizeof ca, "ca_file = \"%s\";", ca_file);
    start_at(s, "https", port, ca, of_queue);
}

static void a_certificate_is_checked(void **state)
{
    struct scene *s = *state;
    char cert[128], key[128], strange[128], strange_key[128];
    make_certificate(s, "good", "IP:127.0.0.1", cert, key);
    make_certificate(s, "strange", "DNS:other.example", strange, strange_key);
    web = web_free(web);
    web = web_new(s, (const char *const[]){"--tls", cert, key, NULL});
    other = web_new(s, (const char *const[]){"--tls", strange, strange_key, NULL});

    start_tls(s, web_port(web), cert, "");
    push(s, "queue", "x");
    await_stat(s, "done", 1);
    assert_int_equal(web_saw(web, "POST / "), 1);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);

    start_tls(s, web_port(web), "", "attempts = 1;"); /* nobody vouches for it */
    push(s, "queue", "unknown");
    await_stat(s, "dead", 1);
    assert_non_null(strstr(dead_letter(s, "unknown", "reason"), "certificate"));
    scene_stop(s, SIGTERM, 0, LIMIT_MS);

    start_tls(s, web_port(other), strange, "attempts = 1;"); /* it is another's */
    push(s, "queue", "another");
    await_stat(s, "dead", 2);
    assert_non_null(strstr(dead_letter(s, "another", "reason"), "certificate"));
    scene_stop(s, SIGTERM, 0, LIMIT_MS);

    assert_int_equal(web_saw(web, "POST / "), 1);
    assert_int_equal(web_saw(other, "POST / "), 0);
}

static void who_speaks_no_tls_is_told_nothing(void **state)
{
    struct scene *s = *state;
    start_at(s, "https", web_port(web), "", "attempts = 2; backoff: { base = 0.01; };");
    push(s, "queue", "x");
    await_stat(s, "dead", 1);
    assert_int_equal(stat_of(s, "queue", "retry"), 1);
    assert_non_null(strstr(dead_letter(s, "x", "reason"), "SSL"));
    assert_string_equal(dead_letter(s, "x", "status"), "");
    assert_string_equal(web_log(web), "");
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
}

/* HTTP/2 -----------------------------------------------------------------------------------------
 */

static pid_t nginx_pid;
static int nginx_fd = -1;

static const char *nginx(void)
{
    if (system("command -v nginx >/dev/null") == 0)
        return "nginx";
    return access("/usr/sbin/nginx", X_OK) == 0 ? "/usr/sbin/nginx" : NULL;
}

static void start_nginx(const struct scene *s)
{
    char path[100];
    const char *program = nginx();
    (void)snprintf(path, sizeof path, "%s/nginx.conf", s->folder);
    nginx_pid = fork();
    if (nginx_pid != 0)
        return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    close_range(3, ~0u, 0);
    execlp(program, program, "-p", s->folder, "-c", path, "-e", "nginx.err", (char *)NULL);
    _exit(127);
}

static int nginx_end(void **state)
{
    if (nginx_pid > 0) {
        (void)kill(nginx_pid, SIGKILL);
        (void)waitpid(nginx_pid, NULL, 0);
    }
    if (nginx_fd >= 0)
        (void)close(nginx_fd);
    return scene_free(state);
}

static void write_nginx(const struct scene *s, int port, const char *cert, const char *key)
{
    char path[100];
    (void)snprintf(path, sizeof path, "%s/nginx.conf", s->folder);
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    (void)fprintf(f,
                  "daemon off; master_process off; pid nginx.pid; error_log nginx.err;\n"
                  "events { worker_connections 1000; }\n"
                  "http { log_format seen '$request_method $server_protocol conn=$connection';\n"
                  " access_log seen.log seen; client_body_temp_path body; proxy_temp_path p;\n"
                  " fastcgi_temp_path f; scgi_temp_path c; uwsgi_temp_path u;\n"
                  " server { listen 127.0.0.1:%d ssl http2; ssl_certificate %s;\n"
                  "  ssl_certificate_key %s; location / { return 200; } } }\n",
                  port, cert, key);
    (void)fclose(f);
}

static unsigned nginx_saw(const struct scene *s, const char *words)
{
    char path[100], line[200];
    unsigned n = 0;
    (void)snprintf(path, sizeof path, "%s/seen.log", s->folder);
    FILE *f = fopen(path, "re");
    while (f && fgets(line, sizeof line, f))
        n += strstr(line, words) != NULL;
    if (f)
        (void)fclose(f);
    return n;
}

static void http_2_is_spoken_where_the_server_does(void **state)
{
    struct scene *s = *state;
    char cert[128], key[128];
    int port;
    if (!nginx()) {
        print_message("nginx is not installed\n");
        skip();
    }
    assert_true((nginx_fd = port_hold(&port)) >= 0);
    make_certificate(s, "good", "IP:127.0.0.1", cert, key);
    write_nginx(s, port, cert, key);
    start_nginx(s);
    start_tls(s, port, cert, "backoff: { base = 0.1; };"); /* until it listens */
    push_numbers(s, "queue", "a", 0, 50);
    scene_await(s, 2 * LIMIT_MS, stat_of(s, "queue", "done") == 50);
    scene_await(s, LIMIT_MS, nginx_saw(s, "POST HTTP/2.0 ") == 50);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
}

/* Names ------------------------------------------------------------------------------------------
 */

/* The daemon in a mount namespace of its own, whose name server is at `address`. */
static bool wrap_with_resolver(struct scene *s, const char *address)
{
    char path[100], script[700], here[100];
    const char *program = getenv("RPOPD") ? getenv("RPOPD") : "build/rpopd";
    (void)snprintf(here, sizeof here, "%s/resolv.conf", s->folder);
    (void)snprintf(path, sizeof path, "%s/rpopd.sh", s->folder);
    FILE *f = fopen(here, "we");
    assert_non_null(f);
    (void)fprintf(f, "nameserver %s\noptions timeout:30 attempts:5\n", address);
    (void)fclose(f);
    (void)snprintf(script, sizeof script,
                   "#!/bin/sh\n"
                   "exec unshare -m sh -c 'mount --bind \"$1\" /etc/resolv.conf && shift && "
                   "exec \"$@\"' sh %s %s \"$@\"\n",
                   here, program);
    f = fopen(path, "we");
    assert_non_null(f);
    (void)fputs(script, f);
    (void)fclose(f);
    assert_int_equal(chmod(path, 0700), 0);
    if (system("unshare -m true 2>/dev/null") != 0)
        return false;
    assert_int_equal(setenv("RPOPD", path, 1), 0);
    return true;
}

/* A hundred jobs wait for a name for minutes; all others go on, one that is cancelled ends, and so
 * does the daemon. */
static void a_silent_name_server_holds_nothing_up(void **state)
{
    struct scene *s = *state;
    char address[32], *before = getenv("RPOPD") ? strdup(getenv("RPOPD")) : NULL;
    int port, fd;
    (void)snprintf(address, sizeof address, "127.%d.%d.53", 1 + getpid() / 250 % 250,
                   1 + getpid() % 250);
    fd = geteuid() == 0 ? listen_at(address, SOCK_DGRAM, 53, &port) : -1;
    if (fd < 0 || !wrap_with_resolver(s, address)) {
        print_message("no name server at port 53, or no mount namespace, for this user\n");
        skip();
    }
    s->daemon = (daemon_free(s->daemon), daemon_new(s->folder, "rpopd")); /* the wrapped one */
    scene_start(s, "workers = 1; queues = ( { name = \"queue\"; timeout = 0.0; concurrency = 50; "
                   "handler: { type = \"http\"; url = \"http://no.such.host.example/\"; "
                   "connect_timeout = 300.0; }; }, "
                   "{ name = \"other\"; handler: { type = \"sleep\"; }; } );");
    push_numbers(s, "queue", "a", 0, 50);
    char question[600];
    assert_true(recv(fd, question, sizeof question, 0) > 0); /* somebody waits for its answer */
    for (int i = 1; i <= 20; i++) { /* its own time and 50 ms; the resolver's is 30 s */
        push(s, "other", "0.01");
        scene_await(s, scene_long() ? (10 + 50) * SLOWNESS : 3000,
                    stat_of(s, "other", "done") == i);
    }
    assert_int_equal(CTL(s, "cancel", id_in_flight(s))->code, 0);
    await_stat(s, "cancelled", 1);
    assert_int_equal(stat_of(s, "queue", "retry"), 0);
    scene_stop(s, SIGQUIT, 0, LIMIT_MS);
    assert_int_equal(ask_int(s, "LLEN queue"), 49);
    (void)close(fd);
    before ? (void)setenv("RPOPD", before, 1) : (void)unsetenv("RPOPD");
    free(before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(nobody_who_listens_is_another_try),
        SCENE(who_never_accepts_is_given_up_after_connect_timeout),
        WEB(half_an_answer_is_none),
        WEB(a_connection_that_is_reset_is_another_try),
        WEB(a_time_limit_ends_the_transfer),
        WEB(an_answer_that_trickles_ends_likewise),
        WEB(a_cancelled_job_leaves_its_server_at_once),
        WEB(a_quick_end_gives_back_what_waits),
        WEB(without_descriptors_a_job_is_run_again),
        WEB(a_proxy_is_asked_where_one_is_set),
        WEB(the_environments_proxies_do_not_count),
        WEB(a_certificate_is_checked),
        WEB(who_speaks_no_tls_is_told_nothing),
        cmocka_unit_test_setup_teardown(http_2_is_spoken_where_the_server_does, scene_new,
                                        nginx_end),
        SCENE(a_silent_name_server_holds_nothing_up),
    };
    return scene_run(tests);
}
