/* Mistakes in the configuration: each one line `file:line: name: what is wrong`, all of them at
 * once, exit 78. */
#include "tests/e2e/scene.h"

struct mistake {
    const char *text; /* of the file; its `lines` hold mistakes */
    const char *name; /* the last word of the setting that is named; NULL: any */
    const char *says; /* in the sentence; NULL: any */
    int line;         /* 0: any, where opinions on the line differ */
};

static int check(struct scene *s, const char *text)
{
    daemon_configure(s->daemon, text);
    daemon_start_with(s->daemon, (const char *const[]){"-t", "-c", daemon_file(s->daemon), NULL});
    return daemon_wait(s->daemon, LIMIT_MS);
}

/* `<file>:<line>: <name>: <sentence>`, the name ending as told. */
static bool tells(const char *line, const char *file, const struct mistake *m)
{
    size_t skip = strlen(file);
    if (strncmp(line, file, skip) != 0 || line[skip] != ':')
        return false;
    char *name;
    long at = strtol(line + skip + 1, &name, 10);
    if (name == line + skip + 1 || strncmp(name, ": ", 2) != 0 || (m->line && at != m->line))
        return false;
    const char *end = strstr(name += 2, ": ");
    if (!end || !end[2])
        return false;
    if (m->says && !strstr(end, m->says))
        return false;
    size_t want = m->name ? strlen(m->name) : 0;
    return !m->name || ((size_t)(end - name) >= want && strncmp(end - want, m->name, want) == 0);
}

static void assert_told(struct scene *s, const char *log, const struct mistake *m)
{
    for (const char *line = log; *line; line = strchr(line, '\n') + 1) {
        if (tells(line, daemon_file(s->daemon), m))
            return;
        if (!strchr(line, '\n'))
            break;
    }
    fail_msg("line %d, %s: not told as file:line: name: what; seen:\n%s", m->line,
             m->name ? m->name : "any", log);
}

static unsigned lines_of(const char *text)
{
    unsigned n = 0;
    for (; (text = strchr(text, '\n')); text++)
        n++;
    return n;
}

/* Exactly this one mistake is told. */
static void assert_one(struct scene *s, const struct mistake *m)
{
    size_t before;
    (void)daemon_err(s->daemon, &before);
    int code = check(s, m->text);
    const char *log = daemon_err(s->daemon, NULL) + before;
    if (code != 78)
        fail_msg("exit %d for:\n%s\nlog:\n%s", code, m->text, log);
    assert_told(s, log, m);
    if (lines_of(log) != 1)
        fail_msg("more than one line for one mistake:\n%s\nlog:\n%s", m->text, log);
}

static void assert_each(struct scene *s, const struct mistake *m, size_t n)
{
    for (size_t i = 0; i < n; i++)
        assert_one(s, &m[i]);
}
#define EACH(s, m) assert_each((s), (m), sizeof(m) / sizeof *(m))

#define Q1 "queues = ({ name = \"queue\"; handler: { type = \"null\"; }; "
#define Q2 " });\n"
#define PLAIN Q1 Q2

static void an_unknown_key_is_named_with_its_line(void **state)
{
    static const struct mistake all[] = {
        {"worker = 2;\n" PLAIN, "worker", NULL, 1},
        {"\n\n  nonsense = 1;\n" PLAIN, "nonsense", NULL, 3},
        {"redis: {\n url = \"redis://h\";\n port = 3; };\n" PLAIN, "port", NULL, 3},
        {Q1 "\n attemps = 3;" Q2, "attemps", NULL, 2},
        {"queues = ({ name = \"queue\"; handler: { type = \"null\";\n seconds = 3; }; });\n",
         "seconds", NULL, 2},
    };
    EACH(*state, all);
}

static void a_wrong_type_is_named_with_its_line(void **state)
{
    static const struct mistake all[] = {
        {"workers = \"2\";\n" PLAIN, "workers", NULL, 1},
        {"\nworkers = 2.5;\n" PLAIN, "workers", NULL, 2},
        {"workers = true;\n" PLAIN, "workers", NULL, 1},
        {"workers = [1, 2];\n" PLAIN, "workers", NULL, 1},
        {"workers = (1, 2);\n" PLAIN, "workers", NULL, 1},
        {"workers: { n = 2; };\n" PLAIN, "workers", NULL, 1},
        {"instance = 5;\n" PLAIN, "instance", NULL, 1},
        {"lease = \"15\";\n" PLAIN, "lease", NULL, 1},
        {"redis = \"redis://127.0.0.1\";\n" PLAIN, "redis", NULL, 1},
        {"redis: { wait = 1; };\n" PLAIN, "wait", NULL, 1},
        {"queues = \"queue\";\n", "queues", NULL, 1},
        {Q1 "timeout = \"5s\";" Q2, "timeout", NULL, 1},
        {Q1 "\nbackoff = 3;" Q2, "backoff", NULL, 2},
        {"queues = ({ name = \"queue\"; handler = \"null\"; });\n", "handler", NULL, 1},
    };
    EACH(*state, all);
}

static void a_value_out_of_range_is_named_with_its_line(void **state)
{
    static const struct mistake all[] = {
        {"workers = -1;\n" PLAIN, "workers", NULL, 1},
        {"concurrency = 0;\n" PLAIN, "concurrency", NULL, 1},
        {"concurrency = 4294967301;\n" PLAIN, "concurrency", NULL, 1}, /* would be 5 in 32 bits */
        {"concurrency = 1000000000000;\n" PLAIN, "concurrency", NULL, 1},
        {"concurrency = 0x1FFFFFFFF;\n" PLAIN, "concurrency", NULL, 1},
        {"concurrency = 99999999999999999999999;\n" PLAIN, "concurrency", NULL, 1},
        {"lease = -1.0;\n" PLAIN, "lease", NULL, 1},
        {"shutdown_timeout = -0.5;\n" PLAIN, "shutdown_timeout", NULL, 1},
        {Q1 "\n\nattempts = 0;" Q2, "attempts", NULL, 3},
        {Q1 "max_recoveries = 1000001;" Q2, "max_recoveries", NULL, 1},
        {Q1 "max_recoveries = 0;" Q2, "max_recoveries", NULL, 1},
        {Q1 "max_payload = -1;" Q2, "max_payload", NULL, 1},
        {Q1 "delivery = \"exactly-once\";" Q2, "delivery", "at-least-once", 1},
        {"log: { level = \"loud\"; };\n" PLAIN, "level", NULL, 1},
        {"log: { format = \"xml\"; };\n" PLAIN, "format", NULL, 1},
        {"instance = \"a b\";\n" PLAIN, "instance", NULL, 1},
        {"instance = \"a/b\";\n" PLAIN, "instance", NULL, 1},
        {"redis: { url = \"http://127.0.0.1\"; };\n" PLAIN, "url", NULL, 1},
        {"redis: { url = \"redis://127.0.0.1:65536\"; };\n" PLAIN, "url", NULL, 1},
        {"redis: { url = \"redis://127.0.0.1:0\"; };\n" PLAIN, "url", NULL, 1},
        {"queues = ({ name = \"queue\"; handler: { type = \"sleeep\"; }; });\n", "type", "sleep",
         1},
    };
    EACH(*state, all);
}

static void queue_names_are_checked(void **state)
{
    static const struct mistake all[] = {
        {"queues = ({ name = \"\"; handler: { type = \"null\"; }; });\n", "name", NULL, 1},
        {"queues = ({ name = \"rpopd:mine\"; handler: { type = \"null\"; }; });\n", "name", NULL,
         1},
        {"queues = (\n" QUEUE("a", "null", "") ",\n" QUEUE("b", "null",
                                                           "") ",\n" QUEUE("a", "sleep", "") ");\n",
         "name", "a", 4},
    };
    EACH(*state, all);
}

static void broken_text_is_told_with_its_line(void **state)
{
    static const struct mistake all[] = {
        {"workers = ;\n" PLAIN, NULL, NULL, 1},
        {"\n\nworkers 2;\n" PLAIN, NULL, NULL, 3},
        {PLAIN "redis: { url = \"redis://127.0.0.1\";\n", NULL, NULL, 0},
        {PLAIN "instance = \"abc;\n", NULL, NULL, 0},
        {PLAIN "/* no end\nworkers = 2;\n", NULL, NULL, 0},
        {"redis: { wait = yes; };\n" PLAIN, NULL, "true", 1},
        {"workers = 1;\nworkers = 2;\n" PLAIN, "workers", NULL, 2},
    };
    EACH(*state, all);
}

static void several_mistakes_are_all_told(void **state)
{
    static const struct mistake all[] = {
        {NULL, "workers", NULL, 1},  {NULL, "nonsense", NULL, 2}, {NULL, "lease", NULL, 3},
        {NULL, "attempts", NULL, 4}, {NULL, "level", NULL, 5},
    };
    struct scene *s = *state;
    assert_int_equal(check(s, "workers = -1;\nnonsense = 1;\nlease = \"x\";\n" Q1 "attempts = 0;" Q2
                              "log: { level = \"loud\"; };\n"),
                     78);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        assert_told(s, daemon_err(s->daemon, NULL), &all[i]);
    assert_int_equal(daemon_log_lines(s->daemon), 5);
}

static void an_include_of_a_folder_does_not_end_the_process_unheard(void **state)
{
    struct scene *s = *state;
    char text[256];
    (void)snprintf(text, sizeof text, "@include \"%s\"\n" PLAIN, s->folder);
    assert_int_equal(check(s, text), 78);
    assert_int_equal(daemon_log_lines(s->daemon), 1);
}

static void what_is_allowed_passes(void **state)
{
    static const char *const good[] = {
        PLAIN,
        "lease = 15;\nshutdown_timeout = 0;\n" PLAIN, /* an integer where a float is meant */
        "workers = 0;\n" PLAIN,
        "# a comment\n// another\n/* and\n one */ workers = 2; " PLAIN,
        "\r\nworkers = 2;\r\n" PLAIN,
        "redis: { url = \"unix:///run/redis/redis.sock?db=3\"; wait = false; };\n" PLAIN,
        Q1 "timeout = 300.0; attempts = 10; backoff: { base = 1.0; factor = 2.0; max = 3600.0; "
           "jitter = 0.1; };"
           "weight = 1; priority = 0; concurrency = 0; delivery = \"at-least-once\"; max_payload = "
           "67108864;"
           "max_recoveries = 3; recoveries_to = \"dead\"; dead_max = 10000; dead_age = 15552000.0;"
           "output_limit = 65536; result: { list = \"\"; key_ttl = 0.0; }; on_success = \"\"; "
           "on_failure = \"\";" Q2,
        PLAIN "log: { level = \"info\"; format = \"auto\"; };\nadmin: { socket = \"\"; http = "
              "\"\"; token_file = \"\"; };\n",
    };
    struct scene *s = *state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        if (check(s, good[i]) != 0)
            fail_msg("refused:\n%s\nlog:\n%s", good[i], daemon_err(s->daemon, NULL));
}

static void a_setting_that_is_not_in_effect_yet_is_said_once_and_harms_nothing(void **state)
{
    struct scene *s = *state;
    scene_start(s, ONE("sleep", "on_failure = \"elsewhere\";"));
    push(s, "queue", "0.01");
    scene_await(s, LIMIT_MS, daemon_printed(s->daemon, "Done 0.01") == 1);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    unsigned said = daemon_logged(s->daemon, "not in effect yet");
    assert_in_range(said, 0, 1); /* none once the feature is there */
    assert_int_equal(said, daemon_logged(s->daemon, "on_failure"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(an_unknown_key_is_named_with_its_line),
        SCENE(a_wrong_type_is_named_with_its_line),
        SCENE(a_value_out_of_range_is_named_with_its_line),
        SCENE(queue_names_are_checked),
        SCENE(broken_text_is_told_with_its_line),
        SCENE(several_mistakes_are_all_told),
        SCENE(an_include_of_a_folder_does_not_end_the_process_unheard),
        SCENE(what_is_allowed_passes),
        SCENE(a_setting_that_is_not_in_effect_yet_is_said_once_and_harms_nothing),
    };
    return scene_run(tests);
}
