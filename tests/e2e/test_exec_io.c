/* The handler exec: what goes into a program and what comes out of it. */
#include "tests/e2e/exec.h"

/* The payload -----------------------------------------------------------------------------------
 */

static void a_payload_is_no_word_of_the_command_line(void **state)
{
    struct scene *s = *state;
    static const char *const payloads[] = {"$(touch x); `id` | \"'\\ %s %n {payload} --help\r\n\t;",
                                           "-c\nexit 0", ""};
    const char *conf;
    conf = exec_text(
        "queues = ({ name = \"queue\"; attempts = 1; handler: { type = \"exec\"; command = "
        "[ \"/bin/sh\", \"-c\", \"cat >%s/payload; tr '\\\\000' '\\\\n' "
        "</proc/$$/cmdline >%s/line\", \"{payload}\" ]; }; });",
        s->folder, s->folder);
    scene_start(s, conf);
    for (size_t i = 0; i < sizeof payloads / sizeof *payloads; i++) {
        push(s, "queue", payloads[i]);
        scene_await(s, LIMIT_MS, exec_done(s) == (long long)i + 1);
        assert_string_equal(exec_file(s, "payload", NULL), payloads[i]);
        const char *line = exec_file(s, "line", NULL);
        assert_non_null(strstr(line, "\n{payload}\n"));
        assert_true(!*payloads[i] || !strstr(line, payloads[i]));
    }
    assert_int_equal(ask_int(s, "LPUSH queue %b", "a\0b\n\xff\0", (size_t)6), 1);
    scene_await(s, LIMIT_MS, exec_done(s) == 4);
    size_t len;
    const char *got = exec_file(s, "payload", &len);
    assert_int_equal(len, 6);
    assert_memory_equal(got, "a\0b\n\xff\0", 6);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
}

/* A payload of `size` random bytes; what the job prints of it comes as evidence. */
static const char *sum_of_large(struct scene *s, size_t size, const char *command)
{
    static char output[256];
    const char *conf;
    char *payload = malloc(size);
    assert_non_null(payload);
    uint32_t x = 1;
    for (size_t i = 0; i < size; i++)
        payload[i] = (char)((x = x * 1664525u + 1013904223u) >> 24);
    conf = exec_text("queues = ({ name = \"queue\"; attempts = 1; output_limit = 40; handler: { "
                     "type = \"exec\"; command = "
                     "[ \"/bin/sh\", \"-c\", \"%s; exit 65\" ]; }; });",
                     command);
    scene_start(s, conf);
    assert_int_equal(ask_int(s, "LPUSH queue %b", payload, size), 1);
    scene_await(s, 4 * LIMIT_MS, exec_dead(s) == 1);
    json_t *all = CTL_JSON(s, 0, "dead", "list", "queue", "--limit", "1");
    assert_string_equal(ctl_text(json_array_get(all, 0), "reason"), "exit code 65");
    json_decref(all);
    /* The record's head has the output; the payload behind it is large. */
    const char *head = ask_text(s, "EVAL %s 1 rpopd:{queue}:dead",
                                "local m = redis.call('ZRANGE', KEYS[1], 0, 0)[1] "
                                "return string.match(m, '\"output\":\"(.-)\"')");
    (void)snprintf(output, sizeof output, "%s", head ? head : "");
    free(payload);
    return output;
}

static uint32_t crc_step(uint32_t crc, unsigned char byte)
{
    crc ^= (uint32_t)byte << 24;
    for (int i = 0; i < 8; i++)
        crc = crc & 0x80000000u ? crc << 1 ^ 0x04c11db7u : crc << 1;
    return crc;
}

/* As cksum(1) prints it. */
static void cksum_of_large(size_t size, char out[64])
{
    uint32_t x = 1, crc = 0;
    for (size_t i = 0; i < size; i++)
        crc = crc_step(crc, (unsigned char)((x = x * 1664525u + 1013904223u) >> 24));
    for (size_t n = size; n > 0; n >>= 8)
        crc = crc_step(crc, (unsigned char)n);
    (void)snprintf(out, 64, "%u %zu", ~crc, size);
}

static void a_large_payload_arrives_byte_for_byte(void **state)
{
    struct scene *s = *state;
    size_t size = scene_long() ? (size_t)64 << 20 : (size_t)4 << 20;
    char want[64];
    cksum_of_large(size, want);
    assert_memory_equal(sum_of_large(s, size, "cksum"), want, strlen(want));
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
}

static void who_writes_first_and_reads_later_is_no_deadlock(void **state)
{
    struct scene *s = *state;
    char want[64];
    cksum_of_large(1 << 20, want);
    assert_non_null(
        strstr(sum_of_large(s, 1 << 20, "head -c 3000000 /dev/zero; echo; cksum"), want));
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
}

static void who_reads_nothing_is_done_all_the_same(void **state)
{
    struct scene *s = *state;
    static char payload[1 << 20];
    scene_start(
        s, "queues = ({ name = \"queue\"; attempts = 1; handler: { type = \"exec\"; command = [ "
           "\"/bin/sh\", \"-c\", \"exec <&-; exit 0\" ]; }; });");
    memset(payload, 'x', sizeof payload);
    for (int i = 0; i < 5; i++)
        assert_true(ask_int(s, "LPUSH queue %b", payload, sizeof payload) > 0);
    scene_await(s, LIMIT_MS, exec_done(s) == 5);
    assert_int_equal(exec_dead(s), 0);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
}

/* What they print -------------------------------------------------------------------------------
 */

static void output_goes_into_the_log_line_by_line(void **state)
{
    struct scene *s = *state;
    scene_start(s, SH("", "attempts = 1; "));
    push(
        s, "queue",
        "echo one; echo two >&2; printf 'a\\033[31m\\000\\n\\nno end'; head -c 1500 /dev/zero | tr "
        "'\\000' x >&2");
    scene_await(s, LIMIT_MS, exec_done(s) == 1);
    scene_check(s, daemon_logged(s->daemon, "stream=stdout line='one'") == 1);
    scene_check(s, daemon_logged(s->daemon, "stream=stderr line='two'") == 1);
    scene_check(s, daemon_logged(s->daemon, "stream=stdout line='a\\x1b[31m\\x00'") == 1);
    scene_check(s, daemon_logged(s->daemon, "stream=stdout line=''") == 1);
    scene_check(s, daemon_logged(s->daemon, "stream=stdout line='no end'") == 1);
    scene_check(s, daemon_logged(s->daemon, "stream=stderr line='xxxxxxxx") == 3); /* split */
    scene_check(s, daemon_logged(s->daemon, "event=job-output queue='queue' id=") == 8);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
}

static void the_last_bytes_are_kept_as_evidence(void **state)
{
    struct scene *s = *state;
    scene_start(s, SH("", "attempts = 1; output_limit = 100; "));
    json_t *o = exec_dies(s, "(seq 1000; echo end) >&2; exit 65");
    const char *output = ctl_text(o, "output");
    assert_int_equal(strlen(output), 100);
    assert_string_equal(output + 100 - 13, "999\n1000\nend\n");
    json_decref(o);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
}

static void a_flood_is_cut_in_the_log_and_takes_no_memory(void **state)
{
    struct scene *s = *state;
    const char *text;
    int mib = scene_long() ? 1024 : 64 / SLOWNESS;
    scene_start(s, SH("", "attempts = 1; timeout = 600.0; "));
    push(s, "queue", "exit 0");
    scene_await(s, LIMIT_MS, exec_done(s) == 1);
    int64_t before_kb = daemon_usage(s->daemon).rss_kb;
    text = exec_text("yes 'a line of the flood' | head -c %dM; echo the end; exit 65", mib);
    push(s, "queue", text);
    scene_await(s, 20 * LIMIT_MS, exec_dead(s) == 1);
    assert_true(daemon_logged(s->daemon, "a line of the flood") <= 100 * 1000);
    scene_check(s, daemon_logged(s->daemon, "event=job-output-cut") >= 1);
    int64_t peak_kb = daemon_usage(s->daemon).peak_kb;
    if (SLOWNESS == 1 && peak_kb > before_kb + 2048)
        fail_msg("%lld KiB before, %lld at most", (long long)before_kb, (long long)peak_kb);
    json_t *o = exec_letter(s);
    const char *output = ctl_text(o, "output");
    assert_int_equal(strlen(output), 65536);
    assert_string_equal(output + 65536 - 8, "the end\n");
    json_decref(o);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(a_payload_is_no_word_of_the_command_line),
        SCENE(a_large_payload_arrives_byte_for_byte),
        SCENE(who_writes_first_and_reads_later_is_no_deadlock),
        SCENE(who_reads_nothing_is_done_all_the_same),
        SCENE(output_goes_into_the_log_line_by_line),
        SCENE(the_last_bytes_are_kept_as_evidence),
        SCENE(a_flood_is_cut_in_the_log_and_takes_no_memory),
    };
    return scene_run(tests);
}
