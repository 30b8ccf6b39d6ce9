/* The example children in conf/pool, by the interpreters that are installed: each gets several jobs
 * and answers with the payload in capitals. */
#include "tests/unit/pool_stage.h"

static bool is_installed(const char *program)
{
    char path[512];
    const char *at = getenv("PATH");
    for (size_t n; at && *at; at += n + (at[n] == ':')) {
        n = strcspn(at, ":");
        (void)snprintf(path, sizeof path, "%.*s/%s", (int)n, at, program);
        if (access(path, X_OK) == 0)
            return true;
    }
    return false;
}

static void assert_capitals(struct stage *s, const char *payload, const char *expected, size_t len)
{
    struct job *j = stage_job(s, payload, len);
    if (stage_run(s, j) != JOB_DONE)
        fail_msg("%s; %.*s", s->why.text, (int)j->evidence.output_len,
                 j->evidence.output ? j->evidence.output : "");
    assert_int_equal(j->result_len, len);
    if (len)
        assert_memory_equal(j->result, expected, len);
    (void)job_free(j);
}

static void play_example(struct stage *s, const char *interpreter, const char *file)
{
    char command[200], large[200000], capitals[sizeof large];
    if (!is_installed(interpreter)) {
        print_message("skipped: there is no %s here\n", interpreter);
        skip();
    }
    memset(large, 'x', sizeof large);
    memset(capitals, 'X', sizeof capitals);
    (void)snprintf(command, sizeof command, "\"%s\", \"conf/pool/%s\"", interpreter, file);
    stage_open_with(s, command, "kill_grace = 30.0;");
    assert_capitals(s, "one", "ONE", 3);
    assert_capitals(s, "", "", 0);
    assert_capitals(s, "two\n{\0}\n", "TWO\n{\0}\n", 8);
    assert_capitals(s, large, capitals, sizeof large);
    assert_capitals(s, "three", "THREE", 5);
}

static void python(void **state)
{
    play_example(*state, "python3", "worker.py");
}

static void node(void **state)
{
    play_example(*state, "node", "worker.js");
}

static void ruby(void **state)
{
    play_example(*state, "ruby", "worker.rb");
}

static void perl(void **state)
{
    play_example(*state, "perl", "worker.pl");
}

static void sh(void **state)
{
    play_example(*state, "sh", "worker.sh");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, stage_new, stage_free)

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(python), TEST(node), TEST(ruby), TEST(perl), TEST(sh)};
    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
