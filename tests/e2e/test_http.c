/* The handler http: what is sent, what an answer means, what is kept of it. */
#include "tests/e2e/web.h"

#include <hiredis/hiredis.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <time.h>

#define MIB (1024L * 1024)

static void end_at_rest(struct scene *s)
{
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_string_equal(left_over(s), "");
}

/* The documents' example ------------------------------------------------------------------------
 */

/* One after the other they would take sixteen seconds. */
static void three_requests_of_3_5_and_8_seconds_take_8(void **state)
{
    struct scene *s = *state;
    web_start(s, web, "/sleep/{payload}", "method = \"GET\";", "");
    int64_t began = clock_now_ms();
    push(s, "queue", "3");
    push(s, "queue", "5");
    push(s, "queue", "8");
    await_stat(s, "done", 3);
    int64_t took = clock_now_ms() - began;
    assert_in_range(took, 7900, scene_long() ? 9000 : 15900);
    assert_int_equal(web_saw(web, "GET /sleep/"), 3);
    assert_int_equal(web_saw(web, " peak=3 "), 1);
    end_at_rest(s);
}

/* Statuses ---------------------------------------------------------------------------------------
 */

static void a_status_says_done_later_or_never(void **state)
{
    struct scene *s = *state;
    static const char *const good[] = {"200", "201", "202", "204", "206", "299"};
    static const char *const later[] = {"408", "425", "429", "500", "502", "503", "504", "599"};
    static const char *const never[] = {"300", "302", "304", "400", "401", "403", "404",
                                        "405", "409", "410", "413", "418", "422", "499"};
    const int n = sizeof never / sizeof *never, m = sizeof later / sizeof *later;
    web_start(s, web, "/status/{payload}", "", "backoff: { base = 1000.0; };");
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        push(s, "queue", good[i]);
    for (int i = 0; i < m; i++)
        push(s, "queue", later[i]);
    for (int i = 0; i < n; i++)
        push(s, "queue", never[i]);
    await_stat(s, "done", sizeof good / sizeof *good);
    await_stat(s, "retry", m);
    await_stat(s, "dead", n);
    for (int i = 0; i < m; i++)
        assert_in_range(due_in_s(s, later[i]), 800, 1101);
    for (int i = 0; i < n; i++) {
        char reason[32], body[32];
        (void)snprintf(reason, sizeof reason, "answered %s", never[i]);
        (void)snprintf(body, sizeof body, "this is %s", never[i]);
        assert_string_equal(dead_letter(s, never[i], "reason"), reason);
        assert_string_equal(dead_letter(s, never[i], "status"), never[i]);
        if (strcmp(never[i], "304") != 0) /* which has no body */
            assert_string_equal(dead_letter(s, never[i], "output"), body);
    }
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
}

static void the_last_try_leaves_status_and_answer(void **state)
{
    struct scene *s = *state;
    web_start(s, web, "/status/{payload}", "response_limit = 9;",
              "attempts = 1; output_limit = 6;");
    push(s, "queue", "503");
    await_stat(s, "dead", 1);
    assert_string_equal(dead_letter(s, "503", "reason"), "answered 503");
    assert_string_equal(dead_letter(s, "503", "status"), "503");
    assert_string_equal(dead_letter(s, "503", "output"), "s is 5"); /* the end of `this is 5` */
    end_at_rest(s);
}

static void retry_after_sets_the_delay(void **state)
{
    struct scene *s = *state;
    char date[64];
    time_t then = time(NULL) + 7200;
    struct tm tm;
    (void)strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&then, &tm));
    web_start(s, web, "/status/503?retry-after={payload}", "",
              "backoff: { base = 100.0; max = 10000.0; jitter = 0.0; };");
    static const char *const odd[] = {"0", "soon", "-5", "Sun, 06 Nov 1994 08:49:37 GMT"};
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++)
        push(s, "queue", odd[i]);
    push(s, "queue", "3600");
    push(s, "queue", "20000");
    push(s, "queue", date);
    await_stat(s, "retry", 7);
    assert_in_range(due_in_s(s, "3600"), 3500, 3601);
    assert_in_range(due_in_s(s, "20000"), 9900, 10001); /* backoff.max */
    assert_in_range(due_in_s(s, date), 7100, 7201);
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++)
        assert_in_range(due_in_s(s, odd[i]), 1, 101);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
}

static void a_date_is_counted_by_the_servers_own_clock(void **state)
{
    struct scene *s = *state;
    web_start(s, web, "/date/{payload}", "", "backoff: { base = 100.0; jitter = 0.0; };");
    push(s, "queue", "1800");
    await_stat(s, "retry", 1);
    assert_in_range(due_in_s(s, "1800"), 1700, 1801);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
}

/* Redirects --------------------------------------------------------------------------------------
 */

static void redirects_on_the_host_are_followed(void **state)
{
    struct scene *s = *state;
    web_start(s, web, "/status/{payload}?to=/there", "", "");
    push(s, "queue", "301");
    push(s, "queue", "302");
    push(s, "queue", "307");
    push(s, "queue", "308");
    push(s, "queue", "303");
    await_stat(s, "done", 5);
    assert_int_equal(web_saw(web, "POST /there "), 4);
    assert_int_equal(web_saw(web, "POST /there ") - web_saw(web, " len=0 "), 3); /* with a body */
    assert_int_equal(web_saw(web, "GET /there "), 1);
    end_at_rest(s);
}

static void each_job_begins_at_the_url(void **state)
{
    struct scene *s = *state;
    web_start(s, web, "/status/307?to=/there", "", "concurrency = 1;");
    push_numbers(s, "queue", "a", 0, 3);
    await_stat(s, "done", 3);
    assert_int_equal(web_saw(web, "POST /status/307?to=/there "), 3);
    assert_int_equal(web_saw(web, "POST /there "), 3);
    end_at_rest(s);
}

static void redirects_have_an_end(void **state)
{
    struct scene *s = *state;
    web_start(s, web, "/loop", "redirects = 2;", "");
    push(s, "queue", "x");
    await_stat(s, "dead", 1);
    assert_int_equal(web_saw(web, "POST /loop "), 3);
    assert_non_null(strstr(dead_letter(s, "x", "reason"), "redirects allows 2 of them"));
    assert_string_equal(dead_letter(s, "x", "status"), "307");
    end_at_rest(s);
}

static void another_host_is_not_followed(void **state)
{
    struct scene *s = *state;
    char to[64];
    other = web_new(s, NULL);
    web_start(s, web, "/status/307?to={payload}", "", "");
    (void)snprintf(to, sizeof to, "http://127.0.0.1:%d/there", web_port(other));
    push(s, "queue", to);
    push(s, "queue", "file:///etc/passwd");
    await_stat(s, "dead", 2);
    assert_non_null(strstr(dead_letter(s, to, "reason"), "nor in redirect_hosts"));
    assert_non_null(strstr(dead_letter(s, "file:///etc/passwd", "reason"), "no http or https url"));
    assert_string_equal(web_log(other), "");
    end_at_rest(s);
}

static void an_allowed_host_does_not_see_what_opens_the_first(void **state)
{
    struct scene *s = *state;
    char to[64], more[200];
    other = web_new(s, NULL);
    (void)snprintf(to, sizeof to, "http://127.0.0.1:%d/there", web_port(other));
    (void)snprintf(more, sizeof more,
                   "redirect_hosts = [ \"127.0.0.1:%d\" ]; "
                   "headers = [ \"Authorization: Bearer x\", \"X-More: yes\", \"X-Empty:\" ];",
                   web_port(other));
    web_start(s, web, "/status/307?to={payload}", more, "");
    push(s, "queue", to);
    await_stat(s, "done", 1);
    assert_int_equal(web_saw(web, "authorization=Bearer x"), 1);
    assert_int_equal(web_saw(web, "x-more=yes x-empty= "), 1);
    assert_int_equal(web_saw(other, "POST /there "), 1);
    assert_int_equal(web_saw(other, "authorization="), 0);
    assert_int_equal(web_saw(other, "x-more=yes x-empty= "), 1);
    end_at_rest(s);
}

/* What is sent -----------------------------------------------------------------------------------
 */

/* In hex, as the server's log has it. */
static const char *sha256(const void *bytes, size_t len)
{
    static char hex[65];
    unsigned char sum[32];
    size_t n = sizeof sum;
    assert_int_equal(EVP_Q_digest(NULL, "SHA256", NULL, bytes, len, sum, &n), 1);
    for (size_t i = 0; i < n; i++)
        (void)sprintf(hex + 2 * i, "%02x", sum[i]);
    return hex;
}

static unsigned saw_body(const void *bytes, size_t len)
{
    char words[128];
    (void)snprintf(words, sizeof words, " len=%zu sha256=%s signed=yes ", len, sha256(bytes, len));
    return web_saw(web, words);
}

static void write_secret(struct scene *s, char more[200])
{
    char path[100];
    (void)snprintf(path, sizeof path, "%s/secret", s->folder);
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    (void)fputs("the key\n", f);
    (void)fclose(f);
    assert_int_equal(chmod(path, 0600), 0);
    (void)snprintf(more, 200, "secret_file = \"%s\";", path);
}

static void any_bytes_arrive_as_they_are_and_signed(void **state)
{
    struct scene *s = *state;
    static const struct {
        const char *bytes;
        size_t len;
        const char *target;
    } rows[] = {
        {"", 0, "/x/?"},
        {"\0", 1, "/x/%00?%00 "},
        {"a\0b\n", 4, "/x/a%00b%0A?"},
        {"\r\nX-Evil: 1\r\n\r\n", 15, "/x/%0D%0AX-Evil%3A%201%0D%0A%0D%0A?"},
        {"{payload}{id}", 13, "/x/%7Bpayload%7D%7Bid%7D?"},
        {"%s%n%d", 6, "/x/%25s%25n%25d?"},
        {"$(reboot); `x` | y > z", 22, "/x/%24%28reboot%29%3B%20%60x%60%20%7C%20y%20%3E%20z?"},
        {"../../etc/passwd?a=b#c", 22, "/x/..%2F..%2Fetc%2Fpasswd%3Fa%3Db%23c?"},
        {"\xff\xfe\x80", 3, "/x/%FF%FE%80?"},
        {"HTTP/1.1 200 OK", 15, "/x/HTTP%2F1.1%20200%20OK?"},
    };
    const int n = sizeof rows / sizeof *rows;
    char more[200];
    web = web_free(web);
    web = web_new(s, (const char *const[]){"--secret", "the key", NULL});
    write_secret(s, more);
    web_start(s, web, "/x/{payload}?{payload}", more, "");
    for (int i = 0; i < n; i++)
        push_bytes(s, rows[i].bytes, rows[i].len);
    await_stat(s, "done", n);
    for (int i = 0; i < n; i++) {
        if (saw_body(rows[i].bytes, rows[i].len) != 1 || web_saw(web, rows[i].target) != 1)
            fail_msg("row %d did not arrive as it is:\n%s", i, web_log(web));
    }
    assert_int_equal(web_saw(web, "x-evil="), 0);
    assert_int_equal(web_saw(web, "type=application/octet-stream"), n);
    push(s, "queue", ".."); /* the one that would leave its place in the path */
    await_stat(s, "dead", 1);
    assert_non_null(strstr(dead_letter(s, "..", "reason"), "would be a step"));
    end_at_rest(s);
}

static void sixty_four_mebibytes_arrive(void **state)
{
    struct scene *s = *state;
    const size_t len = 64 * MIB;
    char more[200], *bytes = malloc(len);
    assert_non_null(bytes);
    for (size_t i = 0; i < len; i++)
        bytes[i] = (char)(i * 31 + (i >> 13));
    web = web_free(web);
    web = web_new(s, (const char *const[]){"--secret", "the key", NULL});
    write_secret(s, more);
    web_start(s, web, "/echo", more, "");
    push_bytes(s, bytes, len);
    await_stat(s, "done", 1);
    assert_int_equal(saw_body(bytes, len), 1);
    free(bytes);
    end_at_rest(s);
}

static void each_method_sends_what_it_has(void **state)
{
    static const struct {
        const char *method;
        bool body;
    } rows[] = {{"GET", false}, {"HEAD", false}, {"DELETE", false},
                {"POST", true}, {"PUT", true},   {"PATCH", true}};
    struct scene *s = *state;
    char *text = strdup("queues = ( { name = \"queue\"; handler: { type = \"null\"; }; }");
    for (size_t i = 0; i < 6; i++) {
        char *longer;
        assert_true(asprintf(&longer,
                             "%s, { name = \"%s\"; handler: { type = \"http\"; method = \"%s\"; "
                             "url = \"http://127.0.0.1:%d/{queue}\"; }; }",
                             text, rows[i].method, rows[i].method, web_port(web)) > 0);
        free(text);
        text = longer;
    }
    text = realloc(text, strlen(text) + 4);
    strcat(text, " );");
    scene_start(s, text);
    free(text);
    for (size_t i = 0; i < 6; i++) {
        char words[64];
        push(s, rows[i].method, "four");
        scene_await(s, LIMIT_MS, stat_of(s, rows[i].method, "done") == 1);
        (void)snprintf(words, sizeof words, "%s /%s ", rows[i].method, rows[i].method);
        assert_int_equal(web_saw(web, words), 1);
        assert_int_equal(web_saw(web, " len=4 "), i < 3 ? 0 : i - 2);
    }
    end_at_rest(s);
}

static void a_job_names_itself_and_nothing_else(void **state)
{
    struct scene *s = *state;
    char *text;
    assert_true(asprintf(&text,
                         "queues = ( { name = \"queue\"; handler: { type = \"null\"; }; }, "
                         "{ name = \"a\\r\\nX-Evil: 1\\r\\n %%\"; handler: { type = \"http\"; "
                         "url = \"http://127.0.0.1:%d/{queue}/{id}\"; }; } );",
                         web_port(web)) > 0);
    scene_start(s, text);
    free(text);
    assert_true(ask_int(s, "LPUSH %s x", "a\r\nX-Evil: 1\r\n %") == 1);
    scene_await(s, LIMIT_MS, stat_of(s, "a\r\nX-Evil: 1\r\n %", "done") == 1);
    assert_int_equal(web_saw(web, "x-evil="), 0);
    assert_int_equal(web_saw(web, "queue=a%0D%0AX-Evil:%201%0D%0A%20%25 attempt=1 "), 1);
    char target[128], id[64];
    assert_int_equal(sscanf(web_log(web), "POST %127s", target), 1);
    assert_ptr_equal(strstr(target, "/a%0D%0AX-Evil%3A%201%0D%0A%20%25/"), target);
    (void)snprintf(id, sizeof id, " id=%.40s queue=", strrchr(target, '/') + 1);
    assert_int_equal(web_saw(web, id), 1);
    end_at_rest(s);
}

static void the_next_try_says_so_under_the_same_id(void **state)
{
    struct scene *s = *state;
    web_start(s, web, "/status/500", "", "attempts = 2; backoff: { base = 0.01; };");
    push(s, "queue", "x");
    await_stat(s, "dead", 1);
    char id[64], words[128];
    const char *at = strstr(web_log(web), " id=");
    assert_non_null(at);
    assert_int_equal(sscanf(at, " id=%63s", id), 1);
    for (int attempt = 1; attempt <= 2; attempt++) {
        (void)snprintf(words, sizeof words, " id=%s queue=queue attempt=%d ", id, attempt);
        assert_int_equal(web_saw(web, words), 1);
    }
    end_at_rest(s);
}

/* Connections and answers ------------------------------------------------------------------------
 */

static void connections_are_used_again(void **state)
{
    struct scene *s = *state;
    web_start(s, web, "/x", "", "concurrency = 1;");
    push_numbers(s, "queue", "a", 0, 100);
    await_stat(s, "done", 100);
    assert_int_equal(web_saw(web, " conn=1 "), 100);
    end_at_rest(s);
}

static void a_connection_that_the_server_ends_is_made_anew(void **state)
{
    struct scene *s = *state;
    web_start(s, web, "/leave", "", "concurrency = 1;");
    for (unsigned i = 1; i <= 3; i++) {
        push(s, "queue", "x");
        await_stat(s, "done", i);
        scene_await(s, LIMIT_MS, web_saw(web, "LEFT /leave ") == i);
    }
    assert_int_equal(web_saw(web, "POST /leave conn=3 "), 1);
    end_at_rest(s);
}

static void a_long_answer_is_cut(void **state)
{
    struct scene *s = *state;
    web_start(s, web, "/bytes/{payload}", "response_limit = 1000;", "");
    push(s, "queue", "1000");
    push(s, "queue", "100000000"); /* nobody wants it: it is not read to its end */
    await_stat(s, "done", 2);
    end_at_rest(s);
}

/* `<job id>\n<result>`, and nothing else in the list. */
static void assert_result(struct scene *s, const char *bytes, size_t len)
{
    redisReply *r = redis_server_run(s->redis, "LRANGE out 0 -1");
    assert_non_null(r);
    assert_int_equal(r->elements, 1);
    const char *text = r->element[0]->str, *line = strchr(text, '\n');
    assert_non_null(line);
    assert_int_equal(r->element[0]->len - (size_t)(line + 1 - text), len);
    assert_memory_equal(line + 1, bytes, len);
    freeReplyObject(r);
    assert_int_equal(ask_int(s, "DEL out"), 1);
}

static void an_answer_is_the_result(void **state)
{
    struct scene *s = *state;
    char big[10000];
    memset(big, 'r', sizeof big);
    web_start(s, web, "/echo", "", "result: { list = \"out\"; };");
    push_bytes(s, "a\0\r\n\xff", 5);
    await_stat(s, "done", 1);
    assert_result(s, "a\0\r\n\xff", 5);
    push_bytes(s, "", 0);
    await_stat(s, "done", 2);
    assert_result(s, "", 0);
    push_bytes(s, big, sizeof big);
    await_stat(s, "done", 3);
    assert_result(s, big, sizeof big);
    end_at_rest(s);
}

static void a_cut_answer_is_no_result(void **state)
{
    struct scene *s = *state;
    web_start(s, web, "/bytes/{payload}", "response_limit = 1000;",
              "result: { key_ttl = 100.0; }; output_limit = 10;");
    push(s, "queue", "1000");
    await_stat(s, "done", 1);
    push(s, "queue", "1001");
    await_stat(s, "dead", 1);
    assert_non_null(strstr(dead_letter(s, "1001", "reason"), "1000 bytes of response_limit"));
    assert_string_equal(dead_letter(s, "1001", "status"), "200");
    assert_string_equal(dead_letter(s, "1001", "output"), "xxxxxxxxxx");
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
}

/* Mistakes ---------------------------------------------------------------------------------------
 */

static void mistakes_are_found_at_the_start(void **state)
{
    static const struct {
        const char *more, *says;
    } rows[] = {
        {"url = \"http://h/{x}\";", "queues[0].handler.url: has a brace at"},
        {"url = \"http://{payload}/\";", "queues[0].handler.url: has {payload} in front of"},
        {"url = \"ftp://h/\";", "queues[0].handler.url: begins with neither"},
        {"", "queues[0].handler.url: is missing"},
        {"url = \"http://h/\"; method = \"CONNECT\";", "queues[0].handler.method: "},
        {"url = \"http://h/\"; headers = [ \"A: b\", \"A: b\\r\\nC: d\" ];",
         "queues[0].handler.headers: [1]: "},
        {"url = \"http://h/\"; redirect_hosts = [ \"http://x/\" ];",
         "queues[0].handler.redirect_hosts: [0]: "},
        {"url = \"http://h/\"; proxy = \"squid\";", "queues[0].handler.proxy: is no proxy"},
        {"url = \"http://h/\"; ca_file = \"/nonexistent\";",
         "queues[0].handler.ca_file: /nonexistent cannot be read"},
        {"url = \"http://h/\"; ca_file = \"/etc/passwd\";",
         "queues[0].handler.ca_file: /etc/passwd holds no certificate"},
        {"url = \"http://h/\"; secret_file = \"/nonexistent\";",
         "queues[0].handler.secret_file: /nonexistent"},
        {"url = \"http://h/\"; secret_file = \"/etc/passwd\";", "allowed is 0600 or less"},
    };
    struct scene *s = *state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[400];
        size_t before;
        (void)snprintf(text, sizeof text,
                       "queues = ( { name = \"queue\"; handler: { type = \"http\"; %s }; } );",
                       rows[i].more);
        (void)daemon_err(s->daemon, &before);
        daemon_configure(s->daemon, text);
        daemon_start_with(s->daemon,
                          (const char *const[]){"-t", "-c", daemon_file(s->daemon), NULL});
        assert_int_equal(daemon_wait(s->daemon, LIMIT_MS), 78);
        const char *said = daemon_err(s->daemon, NULL) + before;
        if (!strstr(said, rows[i].says) || !strstr(said, ".conf:1: "))
            fail_msg("%s\nwanted %s\nsaid %s", text, rows[i].says, said);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WEB(three_requests_of_3_5_and_8_seconds_take_8),
        WEB(a_status_says_done_later_or_never),
        WEB(the_last_try_leaves_status_and_answer),
        WEB(retry_after_sets_the_delay),
        WEB(a_date_is_counted_by_the_servers_own_clock),
        WEB(redirects_on_the_host_are_followed),
        WEB(each_job_begins_at_the_url),
        WEB(redirects_have_an_end),
        WEB(another_host_is_not_followed),
        WEB(an_allowed_host_does_not_see_what_opens_the_first),
        WEB(any_bytes_arrive_as_they_are_and_signed),
        WEB(sixty_four_mebibytes_arrive),
        WEB(each_method_sends_what_it_has),
        WEB(a_job_names_itself_and_nothing_else),
        WEB(the_next_try_says_so_under_the_same_id),
        WEB(connections_are_used_again),
        WEB(a_connection_that_the_server_ends_is_made_anew),
        WEB(a_long_answer_is_cut),
        WEB(an_answer_is_the_result),
        WEB(a_cut_answer_is_no_result),
        SCENE(mistakes_are_found_at_the_start),
    };
    return scene_run(tests);
}
