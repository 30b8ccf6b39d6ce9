/* Whatever a payload or a queue's name holds, a program is given it byte for byte and nothing
 * beside it: no word of its command line, no variable, no other frame. */
#include "tests/e2e/witness.h"

#define MIB ((size_t)1 << 20)

static void push_bytes(struct scene *s, const char *queue, struct bytes b)
{
    assert_true(ask_int(s, "LPUSH %s %b", queue, b.at, b.len) > 0);
}

/* A queue called `queue` whose handler starts this program. */
static void start(struct scene *s, const char *type, const char *role, const char *handler,
                  const char *top)
{
    char conf[4000];
    (void)snprintf(conf, sizeof conf,
                   "%s queues = ({ name = \"queue\"; attempts = 3; handler: { type = \"%s\"; "
                   "command = [ %s ]; %s }; });",
                   top, type, witness_command(s, role, "{payload} $(id) %s%n"), handler);
    scene_start(s, conf);
}

/* What is the same for every job of one queue, however it is asked for. */
static void check_variables(const struct kept *k, const struct kept *first)
{
    static const char *const same[] = {"RPOPD_QUEUE", "RPOPD_ATTEMPT", "RPOPD_ATTEMPTS",
                                       "RPOPD_CHILD", "PATH",          "HOME"};
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        const char *a = witness_variable(k, same[i]), *b = witness_variable(first, same[i]);
        assert_int_equal(!a, !b);
        if (a)
            assert_string_equal(a, b);
    }
    size_t own = 0;
    const char *end = k->environment + k->environment_len;
    for (const char *at = k->environment; at < end; at += strlen(at) + 1)
        own += !strncmp(at, "RPOPD_", 6);
    size_t first_own = 0;
    end = first->environment + first->environment_len;
    for (const char *at = first->environment; at < end; at += strlen(at) + 1)
        first_own += !strncmp(at, "RPOPD_", 6);
    assert_int_equal(own, first_own);
}

static void check_exec(const struct kept *k)
{
    size_t len;
    const char *line = witness_line(&len);
    assert_int_equal(k->line_len, len);
    assert_memory_equal(k->line, line, len);
    assert_string_equal(witness_variable(k, "RPOPD_JOB_ID"), k->id);
    assert_string_equal(witness_variable(k, "RPOPD_ATTEMPT"), "1");
    assert_string_equal(witness_variable(k, "RPOPD_ATTEMPTS"), "3");
}

static unsigned count_of(const struct kept *k, size_t n, struct bytes b)
{
    unsigned found = 0;
    for (size_t i = 0; i < n; i++)
        found += k[i].payload_len == b.len && memcmp(k[i].payload, b.at, b.len) == 0;
    return found;
}

/* The hostile ones, such as end where a pipe, a page or a chunk ends, and a large one. */
static size_t all_payloads(struct bytes *to, size_t max, size_t large, char **ret_large)
{
    const struct bytes *hostile;
    const size_t sizes[] = {1023, 4096, 65535, 65536, 65537, 131072, large};
    size_t n = witness_payloads(&hostile);
    assert_true(n + sizeof sizes / sizeof *sizes <= max);
    memcpy(to, hostile, n * sizeof *to);
    *ret_large = witness_large(large);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        to[n++] = (struct bytes){*ret_large + (large - sizes[i]), sizes[i]};
    return n;
}

/* Twice each, all at once and in this order: so each stands in front of and behind another one. */
static void every_payload_arrives(struct scene *s, size_t most, void (*check)(const struct kept *k))
{
    struct bytes all[64];
    char *large;
    size_t n = all_payloads(all, sizeof all / sizeof *all, most, &large), kept_n;
    for (int twice = 0; twice < 2; twice++)
        for (size_t i = 0; i < n; i++)
            push_bytes(s, "queue", all[i]);
    scene_await(s, 4 * LIMIT_MS, stat_of(s, "queue", "done") == 2 * (long long)n);
    struct kept *kept = witness_kept(s, &kept_n);
    assert_int_equal(kept_n, 2 * n);
    for (size_t i = 0; i < n; i++)
        if (count_of(kept, kept_n, all[i]) != 2)
            fail_msg("payload %zu of %zu bytes arrived %u times", i, all[i].len,
                     count_of(kept, kept_n, all[i]));
    for (size_t i = 0; i < kept_n; i++) {
        check(&kept[i]);
        check_variables(&kept[i], &kept[0]);
    }
    witness_free(kept, kept_n);
    free(large);
    assert_int_equal(stat_of(s, "queue", "retry"), 0);
    assert_int_equal(stat_of(s, "queue", "dead"), 0);
    witness_check_log(s, "keyvalue");
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    assert_string_equal(left_over(s), "");
}

static void every_payload_arrives_at_a_program(void **state)
{
    struct scene *s = *state;
    start(s, "exec", "keep", "", "concurrency = 4; ");
    every_payload_arrives(s, scene_long() ? 64 * MIB : MIB, check_exec);
}

static void every_payload_arrives_by_way_of_the_launcher(void **state)
{
    struct scene *s = *state;
    start(s, "exec", "keep", "umask = \"077\"; no_new_privs = true; ", "concurrency = 4; ");
    every_payload_arrives(s, SLOWNESS > 1 ? MIB : 64 * MIB, check_exec);
}

static void check_pool(const struct kept *k)
{
    const char *end = memchr(k->line, '\n', k->line_len);
    assert_ptr_equal(end, k->line + k->line_len - 1); /* the request is one line */
    assert_null(witness_variable(k, "RPOPD_JOB_ID"));
    assert_non_null(witness_variable(k, "RPOPD_CHILD"));
}

static void every_payload_arrives_at_a_process_of_a_pool(void **state)
{
    struct scene *s = *state;
    start(s, "pool", "pool", "processes = 1; ", "workers = 2; ");
    every_payload_arrives(s, scene_long() ? 64 * MIB : MIB, check_pool);
}

/* Queues ----------------------------------------------------------------------------------------
 */

static const struct {
    const char *conf, *name;
} queues[] = {
    {"queue", "queue"},
    {"a b  c", "a b  c"},
    {"it's", "it's"},
    {"say \\\"hi\\\"", "say \"hi\""},
    {"two\\nlines\\r\\n", "two\nlines\r\n"},
    {"\\x01\\x1b[31m\\t\\x7f", "\x01\x1b[31m\t\x7f"},
    {"\\xff\\xfe\\xc0\\x80", "\xff\xfe\xc0\x80"},
    {"$(id) ; `id` | &", "$(id) ; `id` | &"},
    {"%s%n%d", "%s%n%d"},
    {"back\\\\slash\\\\n", "back\\slash\\n"},
    {"a=b\\nRPOPD_JOB_ID=evil", "a=b\nRPOPD_JOB_ID=evil"},
    {"{payload", "{payload"},
};
#define QUEUES (sizeof queues / sizeof *queues)

static void queues_of_any_name(struct scene *s, const char *type, const char *role,
                               const char *format)
{
    char *conf = NULL;
    size_t len, kept_n;
    FILE *f = open_memstream(&conf, &len);
    assert_non_null(f);
    (void)fprintf(f, "log: { format = \"%s\"; level = \"debug\"; }; queues = (", format);
    for (size_t i = 0; i < QUEUES; i++)
        (void)fprintf(f, "%s{ name = \"%s\"; handler: { type = \"%s\"; command = [ %s ]; }; }",
                      i ? ",\n" : "", queues[i].conf, type, witness_command(s, role, "x"));
    (void)fputs(");", f);
    assert_int_equal(fclose(f), 0);
    scene_start(s, conf);
    free(conf);
    for (size_t i = 0; i < QUEUES; i++)
        push(s, queues[i].name, queues[i].name);
    for (size_t i = 0; i < QUEUES; i++)
        scene_await(s, LIMIT_MS, stat_of(s, queues[i].name, "done") == 1);
    struct kept *kept = witness_kept(s, &kept_n);
    assert_int_equal(kept_n, QUEUES);
    for (size_t i = 0; i < kept_n; i++) /* each was sent its own name */
        assert_string_equal(witness_variable(&kept[i], "RPOPD_QUEUE"), kept[i].payload);
    witness_free(kept, kept_n);
    scene_stop(s, SIGTERM, 0, LIMIT_MS);
    witness_check_log(s, format);
}

static void a_program_is_told_the_name_of_its_queue_as_it_is(void **state)
{
    queues_of_any_name(*state, "exec", "keep", "json");
}

static void so_is_a_process_of_a_pool(void **state)
{
    queues_of_any_name(*state, "pool", "pool", "keyvalue");
}

int main(int argc, char *argv[])
{
    witness_main(argc, argv);
    const struct CMUnitTest tests[] = {
        SCENE(every_payload_arrives_at_a_program),
        SCENE(every_payload_arrives_by_way_of_the_launcher),
        SCENE(every_payload_arrives_at_a_process_of_a_pool),
        SCENE(a_program_is_told_the_name_of_its_queue_as_it_is),
        SCENE(so_is_a_process_of_a_pool),
    };
    return scene_run(tests);
}
