/* Whatever a payload holds, a web server gets it byte for byte and no field beside it; whatever a
 * server says, its own job alone pays for it and the log stays lines. */
#include "tests/e2e/witness.h"

#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <jansson.h>

#define MIB ((size_t)1 << 20)

static struct {
    pid_t pid;
    int port;
} server;

/* The server ------------------------------------------------------------------------------------
 */

struct request {
    char head[65536];
    char *body;
    size_t len;
};

static bool hear(FILE *f, struct request *r)
{
    char line[32768];
    size_t at = 0;
    r->len = 0;
    while (fgets(line, sizeof line, f) && strcmp(line, "\r\n") != 0) {
        at += (size_t)snprintf(r->head + at, sizeof r->head - at, "%s", line);
        if (at >= sizeof r->head)
            _exit(1);
        (void)sscanf(line, "Content-Length: %zu", &r->len);
    }
    r->body = malloc(r->len + 1);
    return at > 0 && r->body && fread(r->body, 1, r->len, f) == r->len;
}

static void keep(const char *folder, const struct request *r)
{
    static unsigned n;
    const char *what[] = {"payload", "line", "environment"}, *bytes[] = {r->body, r->head, ""};
    const size_t len[] = {r->len, strlen(r->head), 0};
    for (int i = 0; i < 3; i++) {
        char path[200];
        (void)snprintf(path, sizeof path, "%s/%u.%s", folder, n, what[i]);
        FILE *f = fopen(path, "we");
        if (!f || fwrite(bytes[i], 1, len[i], f) != len[i] || fclose(f) != 0)
            _exit(1);
    }
    n++;
}

/* POST /keep keeps the request; any other is answered by its own body, as it is. */
static void serve(int fd, const char *folder)
{
    struct request r;
    for (int c; (c = accept(fd, NULL, NULL)) >= 0;) {
        FILE *in = fdopen(c, "r");
        if (in && hear(in, &r)) {
            static const char done[] = "HTTP/1.1 204 Done\r\nConnection: close\r\n\r\n";
            bool keeps = strncmp(r.head, "POST /keep", 10) == 0;
            if (keeps)
                keep(folder, &r);
            (void)send(c, keeps ? done : r.body, keeps ? sizeof done - 1 : r.len, MSG_NOSIGNAL);
            free(r.body);
        }
        (void)fclose(in);
    }
    _exit(1);
}

static int begin(void **state)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    if (scene_new(state) != 0)
        return -1;
    struct scene *s = *state;
    (void)witness_command(s, "keep", "");
    char folder[96];
    (void)snprintf(folder, sizeof folder, "%s/kept", s->folder);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, len) < 0 || listen(fd, 128) < 0 ||
        getsockname(fd, (struct sockaddr *)&a, &len) < 0)
        return -1;
    server.port = ntohs(a.sin_port);
    server.pid = fork();
    if (server.pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        serve(fd, folder);
    }
    (void)close(fd);
    return server.pid < 0 ? -1 : 0;
}

static int end(void **state)
{
    if (server.pid > 0 && kill(server.pid, SIGKILL) == 0)
        (void)waitpid(server.pid, NULL, 0);
    server.pid = 0;
    return scene_free(state);
}

/* The tests -------------------------------------------------------------------------------------
 */

static void push_bytes(struct scene *s, struct bytes b)
{
    assert_true(ask_int(s, "LPUSH queue %b", b.at, b.len) > 0);
}

static void start(struct scene *s, const char *path, const char *format)
{
    char conf[1000];
    (void)snprintf(conf, sizeof conf,
                   "log: { format = \"%s\"; }; concurrency = 3; queues = ({ name = \"queue\"; "
                   "attempts = 1; handler: { type = \"http\"; url = \"http://127.0.0.1:%d%s\"; "
                   "headers = [ \"X-Own: {payload}\" ]; }; });",
                   format, server.port, path);
    scene_start(s, conf);
}

static void check_head(const struct kept *k)
{
    assert_null(strcasestr(k->line, "\nX-Evil"));
    assert_null(strcasestr(k->line, "\nGET "));
    assert_non_null(strstr(k->line, "\r\nX-Own: {payload}\r\n"));
    assert_non_null(strstr(k->line, "\r\nX-Rpopd-Queue: queue\r\n"));
}

static void every_payload_arrives_at_a_server(void **state)
{
    struct scene *s = *state;
    const struct bytes *all;
    size_t n = witness_payloads(&all), large_n = scene_long() ? 64 * MIB : MIB, kept_n;
    char *large = witness_large(large_n);
    start(s, "/keep", "keyvalue");
    for (size_t i = 0; i < n; i++)
        push_bytes(s, all[i]);
    push_bytes(s, (struct bytes){large, large_n});
    scene_await(s, 4 * LIMIT_MS, stat_of(s, "queue", "done") == (long long)n + 1);
    struct kept *kept = witness_kept(s, &kept_n);
    assert_int_equal(kept_n, n + 1);
    for (size_t i = 0; i <= n; i++) {
        struct bytes b = i < n ? all[i] : (struct bytes){large, large_n};
        unsigned found = 0;
        for (size_t k = 0; k < kept_n; k++)
            found += kept[k].payload_len == b.len && !memcmp(kept[k].payload, b.at, b.len);
        if (found != 1)
            fail_msg("payload %zu of %zu bytes arrived %u times", i, b.len, found);
        check_head(&kept[i]);
    }
    witness_free(kept, kept_n);
    free(large);
    witness_check_log(s, "keyvalue");
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_string_equal(left_over(s), "");
}

#define B(text)                \
    {                          \
        text, sizeof(text) - 1 \
    }

/* None of them is an answer that means done. */
static const struct bytes answers[] = {
    B("HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nx"),
    B("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nhalf"),
    B("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffffff\r\nx"),
    B("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"),
    B("HTTP/1.1 200 OK\r\nX-Null: a\0b\r\n\r\n"),
    B("HTTP/1.1 99999 No\r\n\r\n"),
    B("HTTP/1.1 -1 No\r\n\r\n"),
    B("HTTP/1.1 000 No\r\n\r\n"),
    B("HTTP/9.9 200 OK\r\n\r\n"),
    B("HTTP/1.1 100 Continue\r\n\r\n"),
    B("HTTP/1.1 500 \033[31m\xff\xfe\r\nRetry-After: \xff\033\r\nDate: "
      "%s%n\r\n\r\n\0\xff\033[2J\n"),
    B("HTTP/1.1 503 x\r\nRetry-After: 99999999999999999999\r\nContent-Length: 0\r\n\r\n"),
    B("HTTP/1.1 400 x\r\n\r\ntime=2026-01-01T00:00:00.000Z level=error event=evil\n"),
    B("HTTP/1.1 302 x\r\nLocation: file:///etc/passwd\r\n\r\n"),
    B("HTTP/1.1 302 x\r\nLocation: \033[31m' event='evil' x='\xff\r\n\r\n"),
    B("HTTP/1.1 302 x\r\nLocation: http://user:x@evil.invalid/%0d%0a\r\n\r\n"),
    B("HTTP/1.1 302 x\r\nLocation: //[::1]:99999999/\r\n\r\n"),
    B("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nx"),
};
#define ANSWERS (sizeof answers / sizeof *answers)

static void what_a_server_says(struct scene *s, const char *format)
{
    const struct bytes *all;
    size_t n = witness_payloads(&all);
    char *large = witness_large(4 * MIB);
    const char head[] = "HTTP/1.1 200 OK\r\nX-Large: ";
    memset(large, 'x', 4 * MIB);
    memcpy(large, head, sizeof head - 1);
    start(s, "/say", format);
    for (size_t i = 0; i < n; i++)
        push_bytes(s, all[i]);
    for (size_t i = 0; i < ANSWERS; i++)
        push_bytes(s, answers[i]);
    push_bytes(s, (struct bytes){large, 4 * MIB});
    free(large);
    push(s, "queue", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    scene_await(s, 4 * LIMIT_MS,
                stat_of(s, "queue", "dead") + stat_of(s, "queue", "done") ==
                    (long long)(n + ANSWERS) + 2);
    assert_int_equal(stat_of(s, "queue", "done"), 1);
    assert_int_equal(witness_letters(s, answers[10], (struct bytes)B("\0\xff\033[2J\n")), 1);
    witness_check_log(s, format);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_string_equal(left_over(s), "");
}

static void what_a_server_says_is_no_event_of_keyvalue(void **state)
{
    what_a_server_says(*state, "keyvalue");
}

static void what_a_server_says_is_no_event_of_json(void **state)
{
    what_a_server_says(*state, "json");
}

int main(int argc, char *argv[])
{
    witness_main(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_payload_arrives_at_a_server, begin, end),
        cmocka_unit_test_setup_teardown(what_a_server_says_is_no_event_of_keyvalue, begin, end),
        cmocka_unit_test_setup_teardown(what_a_server_says_is_no_event_of_json, begin, end),
    };
    return scene_run(tests);
}
