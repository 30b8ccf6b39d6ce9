/* Whatever a program or a process of a pool writes: a line of the log is one event, what is kept of
 * it is bounded, and nobody but its own job pays for it. */
#include "tests/e2e/witness.h"

#define MIB ((size_t)1 << 20)
#define OUTPUT_LIMIT 5000

static void push_bytes(struct scene *s, struct bytes b)
{
    assert_true(ask_int(s, "LPUSH queue %b", b.at, b.len) > 0);
}

static void start(struct scene *s, const char *type, const char *role, const char *word,
                  const char *queue, const char *top)
{
    char conf[4000];
    (void)snprintf(conf, sizeof conf,
                   "%s queues = ({ name = \"queue\"; output_limit = %d; %s handler: { type = "
                   "\"%s\"; command = [ %s ]; %s }; });",
                   top, OUTPUT_LIMIT, queue, type, witness_command(s, role, word),
                   *type == 'p' ? "processes = 1;" : "");
    scene_start(s, conf);
}

static void await_stat(struct scene *s, const char *name, long long n)
{
    scene_await(s, 4 * LIMIT_MS, stat_of(s, "queue", name) == n);
}

static struct bytes last_of(struct bytes b)
{
    return b.len > OUTPUT_LIMIT ? (struct bytes){b.at + (b.len - OUTPUT_LIMIT), OUTPUT_LIMIT} : b;
}

/* Programs --------------------------------------------------------------------------------------
 */

/* What it printed is the evidence, byte for byte, and the log has it in lines of its own. */
static void shouted(struct scene *s, const char *format, const char *descriptor)
{
    const struct bytes *all;
    size_t n = witness_payloads(&all);
    char top[80], *large = witness_large(MIB);
    (void)snprintf(top, sizeof top, "concurrency = 4; log: { format = \"%s\"; };", format);
    start(s, "exec", "shout", descriptor, "attempts = 1;", top);
    for (size_t i = 0; i < n; i++)
        push_bytes(s, all[i]);
    push_bytes(s, (struct bytes){large, MIB});
    await_stat(s, "dead", (long long)n + 1);
    for (size_t i = 0; i <= n; i++) {
        struct bytes b = i < n ? all[i] : (struct bytes){large, MIB};
        struct bytes printed = *descriptor == '3' ? (struct bytes){"", 0} : last_of(b);
        if (witness_letters(s, b, printed) != 1)
            fail_msg("payload %zu is not the output of its dead letter", i);
    }
    free(large);
    witness_check_log(s, format);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_string_equal(left_over(s), "");
}

static void what_a_program_prints_is_no_event_of_json(void **state)
{
    shouted(*state, "json", "1");
}

static void what_a_program_prints_is_no_event_of_keyvalue(void **state)
{
    shouted(*state, "keyvalue", "2");
}

static void what_a_program_prints_is_no_event_of_text(void **state)
{
    shouted(*state, "text", "1");
}

static void what_it_says_on_descriptor_3_is_no_event_either(void **state)
{
    shouted(*state, "keyvalue", "3");
}

/* The delay is asked for on descriptor 3 alone. */
static void retry_after_in_payload_and_output_are_bytes(void **state)
{
    struct scene *s = *state;
    start(s, "exec", "shout", "1", "attempts = 2; backoff: { base = 3600.0; jitter = 0.0; };", "");
    push(s, "queue", "retry-after: 5\n");
    await_stat(s, "retry", 1);
    static const char script[] = "local r = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2] "
                                 "return math.floor(r / 1000) - redis.call('TIME')[1]";
    assert_true(ask_int(s, "EVAL %s 1 rpopd:{queue}:retry", script) > 1800);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
}

static int64_t peak_of(struct scene *s)
{
    return daemon_usage(s->daemon).peak_kb;
}

static void a_flood_costs_neither_memory_nor_log(struct scene *s, const char *unit, size_t times)
{
    size_t n = strlen(unit);
    char *flood = malloc(n * times);
    assert_non_null(flood);
    for (size_t i = 0; i < times; i++)
        memcpy(flood + i * n, unit, n);
    struct bytes b = {flood, n * times};
    start(s, "exec", "shout", "1", "attempts = 1;", "concurrency = 4;");
    push(s, "queue", "first");
    await_stat(s, "dead", 1);
    int64_t before = peak_of(s);
    for (long long i = 2; i <= 4; i++) {
        push_bytes(s, b);
        await_stat(s, "dead", i);
    }
    if (SLOWNESS == 1) /* the payload itself, as it comes and as it is held, and little more */
        assert_in_range(peak_of(s) - before, 0, 5 * b.len / 1024 + 8192);
    assert_int_equal(witness_letters(s, b, last_of(b)), 3);
    free(flood);
    scene_check(s, daemon_log_lines(s->daemon) < 40000); /* 45,000 and more without a bound */
    scene_check(s, daemon_logged(s->daemon, "event=job-output-cut") >= 3);
    witness_check_log(s, "keyvalue");
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
}

static void ten_megabytes_in_one_line(void **state)
{
    a_flood_costs_neither_memory_nor_log(*state, "0123456789", MIB);
}

static void a_hundred_thousand_short_lines(void **state)
{
    a_flood_costs_neither_memory_nor_log(*state, "a\n", 100000);
}

/* Processes of a pool ---------------------------------------------------------------------------
 */

#define B(text)                \
    {                          \
        text, sizeof(text) - 1 \
    }
#define ID "{\"id\":\"@id\","

/* None of it is an answer; a ! ends the process behind it. */
static const struct bytes answers[] = {
    B("!"),
    B("\n"),
    B("\0\0\0\0\n"),
    B("null\n"),
    B("[]\n"),
    B("\"done\"\n"),
    B("done\n"),
    B("\033[31m" ID "\"status\":\"done\"}\n"),
    B("\xef\xbb\xbf" ID "\"status\":\"done\"}\n"),
    B(ID "\"status\":\"d\xff\xfeone\"}\n"),
    B(ID "\"status\":\"done\",\"len\":9223372036854775807}\n"),
    B(ID "\"status\":\"done\",\"len\":18446744073709551617}\n"),
    B(ID "\"status\":\"done\",\"len\":1e999}\n"),
    B(ID "\"status\":\"done\",\"len\":3.5}\n"),
    B(ID "\"status\":\"done\",\"len\":-1}\n"),
    B(ID "\"status\":\"done\",\"len\":67108865}\n"),
    B(ID "\"status\":\"done\",\"len\":\"5\"}\n"),
    B(ID "\"status\":\"retry\",\"delay\":1e999}\n"),
    B(ID "\"status\":\"retry\",\"delay\":-1}\n"),
    B(ID "\"status\":\"retry\",\"delay\":NaN}\n"),
    B(ID "\"status\":\"done\",\"status\":\"done\"}\n"),
    B(ID "\"status\":\"DONE\"}\n"),
    B(ID "\"status\":\"done\\u0000\"}\n"),
    B(ID "\"status\":\"done\"} " ID "\"status\":\"done\"}\n"),
    B("{\"id\":\"@id\\u0000\",\"status\":\"done\"}\n"),
    B("{\"id\":\"@id \",\"status\":\"done\"}\n"),
    B("{\"id\":[\"@id\"],\"status\":\"done\"}\n"),
    B("{\"status\":\"done\"}\n"),
    B("{\"id\":\"x\",\"queue\":\"queue\",\"attempt\":1,\"deadline\":null,\"len\":5}\nhello"),
    B("!" ID "\"status\":\"do"),
    B("!" ID "\"status\":\"done\"}"),
    B("!" ID "\"status\":\"done\",\"len\":10}\nabc"),
    B("!" ID "\"status\":\"done\",\"len\":67108864}\n"),
    B("!retry-after: 5\n"),
    B("time=2026-01-01T00:00:00.000Z level=error event=evil\n"),
    B("x' id=evil event='evil' y='\n"),
};
#define ANSWERS (sizeof answers / sizeof *answers)

/* Each process has answered one job, and so has none of its starts failed. */
static long long push_answers(struct scene *s)
{
    long long n = 0;
    for (size_t i = 0; i < ANSWERS; i++, n++) {
        push(s, "queue", "ok");
        push_bytes(s, answers[i]);
    }
    const struct bytes *all;
    for (size_t i = witness_payloads(&all); i-- > 0;) {
        if (!memchr(all[i].at, '\n', all[i].len)) /* it would be waited for the rest of it */
            continue;
        push(s, "queue", "ok");
        push_bytes(s, all[i]);
        n++;
    }
    return n;
}

/* In one line. */
static void push_repeated(struct scene *s, const char *unit, size_t times)
{
    size_t n = strlen(unit);
    char *large = malloc(n * times + 1);
    assert_non_null(large);
    for (size_t i = 0; i < times; i++)
        memcpy(large + i * n, unit, n);
    large[n * times] = '\n';
    push(s, "queue", "ok");
    push_bytes(s, (struct bytes){large, n * times + 1});
    free(large);
}

static void babble(struct scene *s, const char *format)
{
    char top[80];
    (void)snprintf(top, sizeof top, "log: { format = \"%s\"; };", format);
    start(s, "pool", "parrot", "x", "attempts = 1;", top);
    long long n = push_answers(s);
    push_repeated(s, "x", 10 * MIB);
    push_repeated(s, "[", 60000);
    push_repeated(s, "{\"a\":", 10000);
    push_repeated(s, "a\n", 100000);
    push_repeated(s, "\xff", 100000);
    n += 5;
    push(s, "queue", "ok");
    await_stat(s, "dead", n);
    await_stat(s, "done", n + 1);
    assert_int_equal(stat_of(s, "queue", "retry"), 0);
    if (SLOWNESS == 1)
        assert_in_range(peak_of(s), 0, 100 * 1024);
    witness_check_log(s, format);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_string_equal(left_over(s), "");
}

static void what_is_no_answer_fails_its_own_job_alone(void **state)
{
    babble(*state, "keyvalue");
}

static void nor_is_it_an_event_of_json(void **state)
{
    babble(*state, "json");
}

static unsigned zombies_of(struct scene *s)
{
    char path[64], text[512], state;
    unsigned n = 0;
    int pid, at;
    (void)snprintf(path, sizeof path, "/proc/%d/task/%d/children", daemon_pid(s->daemon),
                   daemon_pid(s->daemon));
    FILE *f = fopen(path, "re");
    while (f && fscanf(f, "%d", &pid) == 1) {
        (void)snprintf(path, sizeof path, "/proc/%d/stat", pid);
        FILE *stat = fopen(path, "re");
        at = 0;
        if (stat && fgets(text, sizeof text, stat) && sscanf(text, "%*d (%*[^)])%n", &at) == 0 &&
            at && sscanf(text + at, " %c", &state) == 1)
            n += state == 'Z';
        if (stat)
            (void)fclose(stat);
    }
    if (f)
        (void)fclose(f);
    return n;
}

static void what_a_process_lets_go_of_leaves_no_zombie(void **state)
{
    struct scene *s = *state;
    start(s, "pool", "parrot", "x", "", "workers = 2;");
    for (long long i = 1; i <= 100; i++)
        push(s, "queue", "orphan");
    await_stat(s, "done", 100);
    scene_await(s, LIMIT_MS, zombies_of(s) == 0);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
}

int main(int argc, char *argv[])
{
    witness_main(argc, argv);
    const struct CMUnitTest tests[] = {
        SCENE(what_a_program_prints_is_no_event_of_json),
        SCENE(what_a_program_prints_is_no_event_of_keyvalue),
        SCENE(what_a_program_prints_is_no_event_of_text),
        SCENE(what_it_says_on_descriptor_3_is_no_event_either),
        SCENE(retry_after_in_payload_and_output_are_bytes),
        SCENE(ten_megabytes_in_one_line),
        SCENE(a_hundred_thousand_short_lines),
        SCENE(what_is_no_answer_fails_its_own_job_alone),
        SCENE(nor_is_it_an_event_of_json),
        SCENE(what_a_process_lets_go_of_leaves_no_zombie),
    };
    return scene_run(tests);
}
