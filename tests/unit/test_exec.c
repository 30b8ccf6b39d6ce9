/* What the handler exec reads and keeps: descriptor 3, output, environment, paths, limits, the
 * words to its launcher. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/conf_check.h"
#include "common/log.h"
#include "common/rlimit.h"
#include "worker/handler/environment.h"
#include "worker/handler/exec_control.h"
#include "worker/handler/exec_output.h"
#include "worker/handler/launch.h"
#include "worker/handler/program_path.h"

/* Descriptor 3 ----------------------------------------------------------------------------------
 */

static void a_delay_is_a_decimal_number_of_seconds(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        int64_t ms; /* -1: not understood */
    } rows[] = {{"retry-after: 30", 30000},
                {"retry-after:0", 0},
                {"retry-after: \t 1.5", 1500},
                {"retry-after: 0.0009", 0},
                {"retry-after: 2.0004", 2000},
                {"retry-after: 30\r", 30000},
                {"retry-after: 31536000", 31536000000},
                {"retry-after: 31536000.001", -1},
                {"retry-after: 31536001", -1},
                {"retry-after: 99999999999999999999999999", -1},
                {"retry-after: -1", -1},
                {"retry-after: +1", -1},
                {"retry-after: 1e3", -1},
                {"retry-after: 0x10", -1},
                {"retry-after: 1.", -1},
                {"retry-after: .5", -1},
                {"retry-after: 1.5.5", -1},
                {"retry-after: 30 s", -1},
                {"retry-after: 30 ", -1},
                {"retry-after:", -1},
                {"retry-after", -1},
                {"Retry-After: 30", -1},
                {" retry-after: 30", -1},
                {"retry-after: nan", -1},
                {"", -1}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int64_t ms = -7;
        int r = control_parse(rows[i].line, strlen(rows[i].line), &ms);
        if (r != (rows[i].ms < 0 ? -EINVAL : 0) || ms != (rows[i].ms < 0 ? -7 : rows[i].ms))
            fail_msg("'%s': %d, %lld ms", rows[i].line, r, (long long)ms);
    }
}

static void the_last_line_that_is_understood_counts(void **state)
{
    (void)state;
    static const char text[] = "retry-after: 1\nhello\nretry-after: 2.5\nretry-after: x";
    for (size_t step = 1; step < sizeof text; step++) { /* in pieces of any size */
        struct control c;
        control_init(&c);
        assert_int_equal(c.delay_ms, -1);
        for (size_t at = 0; at < sizeof text - 1; at += step)
            control_take(&c, text + at, at + step < sizeof text - 1 ? step : sizeof text - 1 - at);
        control_end(&c);
        assert_int_equal(c.delay_ms, 2500);
        assert_int_equal(c.bad, 2);
        assert_int_equal(c.first_bad_len, 5);
        assert_memory_equal(c.first_bad, "hello", 5);
    }
}

static void a_line_of_any_length_is_bounded(void **state)
{
    (void)state;
    struct control c;
    control_init(&c);
    control_take(&c, "retry-after: 5", 14);
    for (int i = 0; i < 10000; i++)
        control_take(&c, "0000000000", 10);
    control_take(&c, "\nretry-after: 7\n", 16);
    control_end(&c);
    assert_int_equal(c.bad, 1);
    assert_int_equal(c.delay_ms, 7000);
}

/* Output ----------------------------------------------------------------------------------------
 */

/* Feeds `total` bytes in pieces and compares what is kept with the last of them. */
static void keeps_the_last(int64_t limit, size_t total, size_t piece)
{
    struct conf_queue conf = {.name = (char *)"q", .output_limit = limit};
    struct job *j = job_new(&conf, "", 0);
    char *all = test_malloc(total + 1);
    struct output o;
    j->birth = "e.1-1";
    for (size_t i = 0; i < total; i++)
        all[i] = (char)(i % 251 ? i * 7 % 256 : '\n');
    output_init(&o, j);
    for (size_t at = 0; at < total; at += piece)
        output_take(&o, OUTPUT_STDOUT, all + at, total - at < piece ? total - at : piece);
    assert_int_equal(output_keep(&o, j), 0);
    size_t want = total < (size_t)limit ? total : (size_t)limit;
    assert_int_equal(j->evidence.output_len, want);
    if (want > 0)
        assert_memory_equal(j->evidence.output, all + total - want, want);
    assert_true(o.room <= (size_t)limit);
    output_end(&o);
    output_deinit(&o);
    test_free(all);
    (void)job_free(j);
}

static void the_last_bytes_are_kept_however_they_come(void **state)
{
    (void)state;
    static const size_t limits[] = {0, 1, 2, 100, 1024, 1025, 5000},
                        totals[] = {0, 1, 99, 100, 101, 1024, 4999, 5000, 5001, 30000},
                        pieces[] = {1, 7, 100, 1024, 4096, 65536};
    for (size_t l = 0; l < sizeof limits / sizeof *limits; l++)
        for (size_t t = 0; t < sizeof totals / sizeof *totals; t++)
            for (size_t p = 0; p < sizeof pieces / sizeof *pieces; p++)
                keeps_the_last((int64_t)limits[l], totals[t], pieces[p]);
}

static void beyond_a_number_of_lines_they_are_counted_alone(void **state)
{
    (void)state;
    struct conf_queue conf = {.name = (char *)"q", .output_limit = 10};
    struct job *j = job_new(&conf, "", 0);
    struct output o;
    j->birth = "e.1-1";
    output_init(&o, j);
    o.window_ms += 1000000; /* never over */
    for (unsigned i = 0; i < OUTPUT_LINES_MAX + 5; i++)
        output_take(&o, OUTPUT_STDERR, "four\n", 5);
    assert_int_equal(o.logged, OUTPUT_LINES_MAX);
    assert_int_equal(o.cut_lines, 5);
    assert_int_equal(o.cut_bytes, 20);
    output_end(&o);
    assert_int_equal(o.cut_lines, 0);
    output_deinit(&o);
    (void)job_free(j);
}

/* Environment -----------------------------------------------------------------------------------
 */

static void a_name_comes_once_and_what_is_the_daemons_where_it_is_asked_for(void **state)
{
    (void)state;
    char *own[] = {(char *)"A=1",
                   (char *)"NOTIFY_SOCKET=/x",
                   (char *)"WATCHDOG_USEC=1",
                   (char *)"LISTEN_FDS=1",
                   (char *)"LISTEN_PID=1",
                   (char *)"LISTENER=kept",
                   (char *)"CREDENTIALS_DIRECTORY=/x",
                   (char *)"CREDENTIALS_DIRECTORY_2=kept",
                   (char *)"RPOPD_JOB_ID=old",
                   (char *)"RPOPD_CHILD=old",
                   (char *)"RPOPD_INSTANCE=kept",
                   (char *)"B=1",
                   (char *)"no variable",
                   NULL},
         *more[] = {(char *)"B=2",
                    (char *)"C==",
                    (char *)"B=3",
                    (char *)"RPOPD_QUEUE=mine",
                    (char *)"LISTEN_FDS=given",
                    NULL};
    size_t n;
    const char **e = environment_new(own, more, 3, &n);
    assert_non_null(e);
    static const char *const want[] = {
        "A=1", "LISTENER=kept",   "CREDENTIALS_DIRECTORY_2=kept", "RPOPD_INSTANCE=kept", "B=3",
        "C==", "LISTEN_FDS=given"};
    assert_int_equal(n, sizeof want / sizeof *want);
    for (size_t i = 0; i < n; i++)
        assert_string_equal(e[i], want[i]);
    assert_null(e[n]);
    assert_string_equal(environment_get(e, "C"), "=");
    assert_string_equal(environment_get(e, "B"), "3");
    assert_null(environment_get(e, "LISTEN"));
    e[n] = e[n + 1] = e[n + 2] = "X=1"; /* there is room */
    e[n + 3] = NULL;
    free(e);
}

/* Limits, variables, masks ----------------------------------------------------------------------
 */

static void limits_are_read_as_they_are_written(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int resource;
        rlim_t soft, hard;
    } rows[] = {{"nofile=1024", RLIMIT_NOFILE, 1024, 1024},
                {"core=0:unlimited", RLIMIT_CORE, 0, RLIM_INFINITY},
                {"as=1073741824", RLIMIT_AS, 1073741824, 1073741824},
                {"cpu=unlimited", RLIMIT_CPU, RLIM_INFINITY, RLIM_INFINITY},
                {"nproc=5:6", RLIMIT_NPROC, 5, 6}};
    static const char *const bad[] = {"",
                                      "nofile",
                                      "nofile=",
                                      "=1",
                                      "NOFILE=1",
                                      "nofile=-1",
                                      "nofile=1k",
                                      "nofile=1:",
                                      "nofile=2:1",
                                      "nofile=1:2:3",
                                      "files=1",
                                      "nofile= 1",
                                      "core=unlimited:0",
                                      "nofile=1000000000000000000000"};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int resource;
        struct rlimit l;
        assert_int_equal(rlimit_parse(rows[i].text, &resource, &l, NULL), 0);
        assert_int_equal(resource, rows[i].resource);
        assert_int_equal(l.rlim_cur, rows[i].soft);
        assert_int_equal(l.rlim_max, rows[i].hard);
        assert_int_equal(conf_check_rlimit(rows[i].text, NULL), 0);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (conf_check_rlimit(bad[i], NULL) != -EINVAL)
            fail_msg("'%s' is taken for a limit", bad[i]);
}

static void variables_and_masks_are_checked(void **state)
{
    (void)state;
    assert_int_equal(conf_check_variable("A=", NULL), 0);
    assert_int_equal(conf_check_variable("A=b=c", NULL), 0);
    assert_int_equal(conf_check_variable("A", NULL), -EINVAL);
    assert_int_equal(conf_check_variable("=b", NULL), -EINVAL);
    static const char *const good[] = {"", "027", "0027", "000", "777"}, *const bad[] = {
                                                                             "27",  "1027",  "088",
                                                                             "0x1", "00027", " 27"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_int_equal(conf_check_umask(good[i], NULL), 0);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(conf_check_umask(bad[i], NULL), -EINVAL);
}

/* Paths -----------------------------------------------------------------------------------------
 */

static void write_file(const char *path, const char *text, mode_t mode)
{
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    (void)fputs(text, f);
    (void)fclose(f);
    assert_int_equal(chmod(path, mode), 0);
}

static void a_command_is_looked_for_in_its_path(void **state)
{
    (void)state;
    char folder[] = "/tmp/rpopd-exec.XXXXXX", path[600], out[PATH_MAX], a[64], b[64];
    struct err e;
    assert_non_null(mkdtemp(folder));
    (void)snprintf(a, sizeof a, "%s/a", folder);
    (void)snprintf(b, sizeof b, "%s/b", folder);
    assert_int_equal(mkdir(a, 0755) + mkdir(b, 0755), 0);
    (void)snprintf(path, sizeof path, "%s/prog", a);
    write_file(path, "#!/bin/sh\n", 0644); /* not to be executed: the next is */
    (void)snprintf(path, sizeof path, "%s/prog", b);
    write_file(path, "#!/bin/sh\n", 0755);
    (void)snprintf(path, sizeof path, "/no/such:%s:%s", a, b);
    assert_int_equal(strncmp(program_path_find("prog", path, out), b, strlen(b)), 0);
    assert_string_equal(program_path_find("no-prog", path, out), "no-prog");
    assert_string_equal(program_path_find("./prog", path, out), "./prog");
    assert_int_equal(program_path_check("prog", b, &e), 0);
    assert_int_equal(program_path_check("prog", a, &e), -EACCES);
    assert_int_equal(program_path_check("gone", b, &e), -ENOENT);
    assert_int_equal(program_path_check("/bin/sh", b, &e), 0);
    assert_int_equal(program_path_check(b, "", &e), -EACCES);
    (void)snprintf(path, sizeof path, "%s/prog", a);
    write_file(path, "#! \t/no/such/interpreter -x\n", 0755);
    assert_int_equal(program_path_check("prog", a, &e), -ENOENT);
    assert_non_null(strstr(e.text, "the interpreter \"/no/such/interpreter\" of"));
    assert_int_equal(unlink(path), 0);
    (void)snprintf(path, sizeof path, "%s/prog", b);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(a) + rmdir(b) + rmdir(folder), 0);
}

/* The launcher ----------------------------------------------------------------------------------
 */

static void the_launcher_is_needed_for_what_posix_spawn_cannot_set(void **state)
{
    (void)state;
    char *none[] = {NULL}, *limits[] = {(char *)"nofile=5", (char *)"core=0", NULL};
    struct conf_handler h = {
        .user = (char *)"", .umask = (char *)"", .cwd = (char *)"", .rlimits = none};
    size_t n;
    assert_null(launch_needed(&h));
    h.no_new_privs = true;
    assert_string_equal(launch_needed(&h), "handler.no_new_privs");
    h.rlimits = limits;
    assert_string_equal(launch_needed(&h), "handler.rlimits");
    h.nice = -5;
    h.umask = (char *)"027";
    h.user = (char *)"nobody";
    assert_string_equal(launch_needed(&h), "handler.user");
    char **words = launch_words(&h, &n);
    static const char *const want[] = {
        "rpopd-exec",        "--user=nobody",   "--umask=027",    "--nice=-5",
        "--rlimit=nofile=5", "--rlimit=core=0", "--no-new-privs", "--"};
    assert_non_null(words);
    assert_int_equal(n, sizeof want / sizeof *want);
    for (size_t i = 0; i < n; i++)
        assert_string_equal(words[i], want[i]);
    assert_null(launch_free(words, n));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_delay_is_a_decimal_number_of_seconds),
        cmocka_unit_test(the_last_line_that_is_understood_counts),
        cmocka_unit_test(a_line_of_any_length_is_bounded),
        cmocka_unit_test(the_last_bytes_are_kept_however_they_come),
        cmocka_unit_test(beyond_a_number_of_lines_they_are_counted_alone),
        cmocka_unit_test(a_name_comes_once_and_what_is_the_daemons_where_it_is_asked_for),
        cmocka_unit_test(limits_are_read_as_they_are_written),
        cmocka_unit_test(variables_and_masks_are_checked),
        cmocka_unit_test(a_command_is_looked_for_in_its_path),
        cmocka_unit_test(the_launcher_is_needed_for_what_posix_spawn_cannot_set),
    };
    log_open(CONF_LOG_WARNING, CONF_LOG_AUTO); /* a flood is one of the tests */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
