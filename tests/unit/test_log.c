/* LDFLAGS: -Wl,--wrap=sd_journal_sendv,--wrap=access */
/* The log: each format, what cannot be written, what comes from outside. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <pty.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/callout.h"
#include "common/log.h"
#include "common/log_line.h"

/* stderr is swapped for something else; the test's own words go out before and after. */
static int saved_stderr, reader;
static char got[70000];

static void swap_stderr(int fd)
{
    saved_stderr = dup(STDERR_FILENO);
    assert_true(saved_stderr >= 0);
    assert_true(dup2(fd, STDERR_FILENO) >= 0);
    close(fd);
}

static void restore_stderr(void)
{
    dup2(saved_stderr, STDERR_FILENO);
    close(saved_stderr);
}

static void capture(void)
{
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    reader = fds[0];
    swap_stderr(fds[1]);
}

static const char *captured(void)
{
    restore_stderr();
    size_t n = 0;
    ssize_t r;
    while ((r = read(reader, got + n, sizeof got - 1 - n)) > 0)
        n += (size_t)r;
    close(reader);
    got[n] = '\0';
    return got;
}

/* What the journal was sent, a field a line. */
static char journal[70000];
static int journal_says;

int __wrap_sd_journal_sendv(const struct iovec *at, int n);
int __wrap_sd_journal_sendv(const struct iovec *at, int n)
{
    size_t used = 0;
    for (int i = 0; i < n; i++) {
        memcpy(journal + used, at[i].iov_base, at[i].iov_len);
        used += at[i].iov_len;
        journal[used++] = '\n';
    }
    journal[used] = '\0';
    return journal_says;
}

static int socket_is_there = 0; /* what access() says of the journal's socket */

int __wrap_access(const char *path, int mode);
int __wrap_access(const char *path, int mode)
{
    (void)path, (void)mode;
    return socket_is_there ? 0 : -1;
}

/* Drops "time=...Z " and the like: the clock is not under test. */
static const char *behind(const char *text, const char *mark)
{
    const char *at = strstr(text, mark);
    if (!at)
        fail_msg("'%s' is not in: %s", mark, text);
    return at;
}

static void key_value_lines_carry_time_level_and_event(void **state)
{
    (void)state;
    capture();
    log_open(CONF_LOG_INFO, CONF_LOG_KEYVALUE);
    log_info("job-done", "id=%s attempt=%d", "a1", 3);
    log_warn("redis-down", "error=%s", "'it\\'s gone'");
    log_error("bare", "%s", "");
    const char *text = captured();
    assert_memory_equal(text, "time=2", 6);
    assert_string_equal(behind(text, "level"),
                        behind(text, "level=info event=job-done id=a1 attempt=3\n"));
    behind(text, "Z level=warning event=redis-down error='it\\'s gone'\n");
    behind(text, "Z level=error event=bare\n");
}

static void what_is_below_the_level_is_not_written(void **state)
{
    (void)state;
    capture();
    log_open(CONF_LOG_WARNING, CONF_LOG_KEYVALUE);
    log_debug("a", "x=%d", 1);
    log_info("b", "x=%d", 1);
    log_warn("c", "x=%d", 1);
    log_error("d", "x=%d", 1);
    log_open(CONF_LOG_DEBUG, CONF_LOG_KEYVALUE);
    log_debug("e", "x=%d", 1);
    const char *text = captured();
    assert_null(strstr(text, "event=a"));
    assert_null(strstr(text, "event=b"));
    behind(text, "level=warning event=c");
    behind(text, "level=error event=d");
    behind(text, "level=debug event=e");
}

static void text_has_no_colour_away_from_a_terminal(void **state)
{
    (void)state;
    capture();
    log_open(CONF_LOG_INFO, CONF_LOG_TEXT);
    log_warn("redis-down", "after=%dms", 5);
    const char *text = captured();
    assert_null(strchr(text, '\033'));
    behind(text, " warning redis-down after=5ms\n");
}

static void text_is_coloured_on_a_terminal(void **state)
{
    (void)state;
    char out[LOG_LINE_MAX + 1];
    struct log_record r = {.level = CONF_LOG_ERROR, .event = "e", .pairs = "a=1"};
    out[log_line_text(&r, true, out)] = '\0';
    behind(out, " \033[31merror\033[0m e a=1\n");
    r.level = CONF_LOG_INFO;
    out[log_line_text(&r, true, out)] = '\0';
    assert_null(strchr(out, '\033'));
}

static void auto_is_coloured_text_on_a_terminal(void **state)
{
    (void)state;
    int terminal;
    assert_int_equal(openpty(&reader, &terminal, NULL, NULL, NULL), 0);
    swap_stderr(terminal);
    log_open(CONF_LOG_INFO, CONF_LOG_AUTO);
    log_warn("redis-down", "after=%dms", 5);
    behind(captured(), " \033[33mwarning\033[0m redis-down after=5ms\r\n");
}

static void json_lines_hold_strings_and_whole_numbers(void **state)
{
    (void)state;
    capture();
    log_open(CONF_LOG_INFO, CONF_LOG_JSON);
    log_info("job-done", "id=a1 attempt=3 wait=-7 part=0.5 zero=007 name='12' text='a "
                         "\"b\"\\n\\'c\\' \\\\d \\xff' last=");
    const char *text = captured();
    assert_memory_equal(text, "{\"time\":\"2", 10);
    assert_string_equal(behind(text, ",\"level\""),
                        ",\"level\":\"info\",\"event\":\"job-done\",\"id\":\"a1\",\"attempt\":3,"
                        "\"wait\":-7,\"part\":\"0.5\","
                        "\"zero\":\"007\",\"name\":\"12\",\"text\":\"a \\\"b\\\"\\u000a'c' \\\\d "
                        "\\\\xff\",\"last\":\"\"}\n");
}

static void json_escapes_raw_bytes(void **state)
{
    (void)state;
    capture();
    log_open(CONF_LOG_INFO, CONF_LOG_JSON);
    log_info("e", "%s", "a=\x01\x7f\xff\xc3\xa4");
    behind(captured(), "\"a\":\"\\u0001\\u007f\\\\xff\xc3\xa4\"}\n");
}

static void the_journal_gets_fields(void **state)
{
    (void)state;
    socket_is_there = 1;
    uint64_t before = log_dropped();
    log_open(CONF_LOG_INFO, CONF_LOG_JOURNAL);
    log_warn("job-retry", "id=a1 err-text='a b\\nc'");
    assert_string_equal(
        journal, "MESSAGE=job-retry id=a1 err-text='a b\\nc'\nPRIORITY=4\nSYSLOG_IDENTIFIER=rpopd\n"
                 "RPOPD_EVENT=job-retry\nRPOPD_ID=a1\nRPOPD_ERR_TEXT=a b\nc\n");
    log_error("e", "a=1");
    behind(journal, "PRIORITY=3\n");
    log_info("e", "a=1");
    behind(journal, "PRIORITY=6\n");
    assert_int_equal(log_dropped(), before);
    journal_says = -EPIPE;
    log_info("e", "a=1");
    assert_int_equal(log_dropped(), before + 1);
    journal_says = 0;
    socket_is_there = 0;
}

static void many_and_long_pairs_do_not_break_the_journal(void **state)
{
    (void)state;
    char pairs[LOG_PAIRS_MAX];
    size_t n = 0;
    for (int i = 0; n < sizeof pairs - 20; i++)
        n += (size_t)sprintf(pairs + n, "k%d=v ", i);
    socket_is_there = 1;
    log_open(CONF_LOG_INFO, CONF_LOG_JOURNAL);
    log_info("e", "%s", pairs);
    behind(journal, "RPOPD_K0=v\n");
    memset(pairs, 'x', sizeof pairs - 1);
    pairs[sizeof pairs - 1] = '\0';
    log_info("e", "%s", pairs);
    behind(journal, "RPOPD_EVENT=e\n");
    socket_is_there = 0;
}

static void without_a_journal_lines_go_to_stderr(void **state)
{
    (void)state;
    capture();
    log_open(CONF_LOG_INFO, CONF_LOG_JOURNAL);
    log_info("e", "a=1");
    behind(captured(), "level=info event=e a=1\n");
}

static void auto_follows_journal_stream(void **state)
{
    (void)state;
    struct stat st;
    char text[64];
    capture();
    assert_int_equal(fstat(STDERR_FILENO, &st), 0);
    (void)snprintf(text, sizeof text, "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
    setenv("JOURNAL_STREAM", text, 1);
    log_open(CONF_LOG_INFO, CONF_LOG_AUTO);
    log_info("into-journal", "a=1");
    setenv("JOURNAL_STREAM", "1:2", 1);
    log_open(CONF_LOG_INFO, CONF_LOG_AUTO);
    log_info("other-stream", "a=1");
    setenv("JOURNAL_STREAM", "junk", 1);
    log_open(CONF_LOG_INFO, CONF_LOG_AUTO);
    log_info("junk", "a=1");
    unsetenv("JOURNAL_STREAM");
    const char *out = captured();
    behind(journal, "RPOPD_EVENT=into-journal");
    assert_null(strstr(out, "into-journal"));
    behind(out, "event=other-stream");
    behind(out, "event=junk");
}

static void a_full_pipe_drops_lines_and_counts_them(void **state)
{
    (void)state;
    uint64_t before = log_dropped();
    capture();
    log_open(CONF_LOG_INFO, CONF_LOG_KEYVALUE);
    int lines = 0;
    while (log_dropped() == before && lines < 100000) {
        log_info("filler", "n=%d", lines);
        lines++;
    }
    const char *text = captured();
    assert_true(log_dropped() == before + 1);
    assert_int_equal(text[strlen(text) - 1], '\n');
    int whole = 0;
    for (const char *p = text; (p = strchr(p, '\n')); p++)
        whole++;
    assert_int_equal(whole, lines - 1);
}

static void a_closed_pipe_a_full_disk_and_no_stderr_are_counted(void **state)
{
    (void)state;
    uint64_t before = log_dropped();
    log_open(CONF_LOG_INFO, CONF_LOG_KEYVALUE);
    capture();
    close(reader);
    log_info("closed", "n=1");
    restore_stderr();
    assert_true(log_dropped() == before + 1);
    swap_stderr(open("/dev/full", O_WRONLY | O_CLOEXEC));
    log_info("full", "n=1");
    restore_stderr();
    assert_true(log_dropped() == before + 2);
    swap_stderr(dup(STDOUT_FILENO));
    close(STDERR_FILENO);
    log_info("none", "n=1");
    restore_stderr();
    assert_true(log_dropped() == before + 3);
}

static void sigpipe_is_ignored(void **state)
{
    (void)state;
    struct sigaction action;
    (void)signal(SIGPIPE, SIG_DFL);
    log_open(CONF_LOG_INFO, CONF_LOG_KEYVALUE);
    assert_int_equal(sigaction(SIGPIPE, NULL, &action), 0);
    assert_true(action.sa_handler == SIG_IGN);
}

static void a_line_stays_one_line(void **state)
{
    (void)state;
    capture();
    log_open(CONF_LOG_INFO, CONF_LOG_KEYVALUE);
    log_info("e", "%s", "raw=a\nb\r\x1b[2J\x9b\xc2\x9bz");
    behind(captured(), "event=e raw=a\\nb\\r\\x1b[2J\\x9b\\xc2\\x9bz\n");
}

static void a_long_line_is_cut(void **state)
{
    (void)state;
    static const enum conf_log_format formats[] = {CONF_LOG_KEYVALUE, CONF_LOG_TEXT, CONF_LOG_JSON};
    char *big = test_malloc(200000);
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        for (int c = 1; c < 256; c += 127) { /* 0x01 and 0xff grow when they are escaped */
            memset(big, c, 199999);
            big[199999] = '\0';
            capture();
            log_open(CONF_LOG_INFO, formats[i]);
            log_info("e", "ok=1 big='%s'", big);
            const char *text = captured();
            size_t n = strlen(text);
            assert_in_range(n, 20, LOG_LINE_MAX);
            assert_ptr_equal(strchr(text, '\n'), text + n - 1);
            if (formats[i] == CONF_LOG_JSON && c != 128)
                behind(text, "\"ok\":1,\"cut\":true}\n");
        }
    test_free(big);
}

static void values_from_outside_are_quoted(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
        const char *want;
    } rows[] = {
        {"", 0, "''"},
        {"plain", 5, "'plain'"},
        {"it's \\ \"x\"", 10, "'it\\'s \\\\ \"x\"'"},
        {"\0\n\r\t\x1b\x7f", 6, "'\\x00\\n\\r\\t\\x1b\\x7f'"},
        {"\xe4\xb8\xad\xff\xc0\x80\xed\xa0\x80", 9, "'\xe4\xb8\xad\\xff\\xc0\\x80\\xed\\xa0\\x80'"},
        {"\xe4\xb8", 2, "'\\xe4\\xb8'"},
    };
    char out[LOG_QUOTE_MAX];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_string_equal(log_quote(rows[i].bytes, rows[i].len, out), rows[i].want);
}

static void quoted_values_are_cut_at_every_length(void **state)
{
    (void)state;
    char bytes[600], out[LOG_QUOTE_MAX];
    for (size_t shift = 0; shift < 8; shift++)
        for (size_t len = 230; len < sizeof bytes; len++) {
            for (size_t i = 0; i < len; i++)
                bytes[i] = (i + shift) % 7 ? 'a' : '\x01';
            (void)log_quote(bytes, len, out);
            size_t n = strlen(out);
            assert_in_range(n, 2, LOG_QUOTE_MAX - 1);
            assert_int_equal(out[n - 1], '\'');
            if (len > 253)
                assert_memory_equal(out + n - 4, "...'", 4);
        }
}

static void pairs_are_found_in_any_text(void **state)
{
    (void)state;
    static const struct {
        const char *text, *key, *value;
    } rows[] = {
        {"a=b", "a", "b"},        {"  a='b c'", "a", "b c"}, {"a=", "a", ""},
        {"a", "a", ""},           {"a=''", "a", ""},         {"a='it's on' x", "a", "it's on"},
        {"a='open", "a", "open"}, {"a='b\\", "a", "b\\"},    {"a='\\x41\\q'", "a", "\\x41\\q"},
        {"=b", "", "b"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *p = rows[i].text;
        struct log_pair pair;
        assert_true(log_pair_next(&p, &pair));
        assert_int_equal(pair.key_len, strlen(rows[i].key));
        assert_memory_equal(pair.key, rows[i].key, pair.key_len);
        assert_int_equal(pair.value_len, strlen(rows[i].value));
        assert_memory_equal(pair.value, rows[i].value, pair.value_len);
    }
    const char *none = "   ";
    struct log_pair pair;
    assert_false(log_pair_next(&none, &pair));
}

static int called;

static void switcher(callout_fn fn, void *arg)
{
    called++;
    fn(arg);
}

static void formatting_is_called_out_and_errno_is_kept(void **state)
{
    (void)state;
    uint64_t before = log_dropped();
    swap_stderr(open("/dev/full", O_WRONLY | O_CLOEXEC)); /* writing sets errno */
    log_open(CONF_LOG_INFO, CONF_LOG_KEYVALUE);
    callout_install(switcher);
    errno = 77;
    log_info("e", "a=%d", 1);
    int kept = errno;
    callout_install(NULL);
    restore_stderr();
    assert_int_equal(kept, 77);
    assert_int_equal(called, 1);
    assert_true(log_dropped() == before + 1);
}

#define THREADS 4
#define LINES 500

static void *write_lines(void *arg)
{
    for (int i = 0; i < LINES; i++)
        log_info("line", "thread=%d n=%d text='%s'", *(int *)arg, i, "some words");
    return NULL;
}

static void threads_do_not_mix_their_lines(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    int ids[THREADS], next[THREADS] = {0}, thread, n, whole = 0;
    uint64_t before = log_dropped();
    FILE *file = tmpfile();
    assert_non_null(file);
    swap_stderr(dup(fileno(file)));
    log_open(CONF_LOG_INFO, CONF_LOG_KEYVALUE);
    for (int i = 0; i < THREADS; i++) {
        ids[i] = i;
        assert_int_equal(pthread_create(&threads[i], NULL, write_lines, &ids[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        (void)pthread_join(threads[i], NULL);
    restore_stderr();
    rewind(file);
    while (fgets(got, sizeof got, file)) {
        assert_int_equal(
            sscanf(behind(got, " event=line "), " event=line thread=%d n=%d", &thread, &n), 2);
        assert_int_equal(n, next[thread]++);
        behind(got, " text='some words'\n");
        whole++;
    }
    (void)fclose(file);
    assert_int_equal(whole, THREADS * LINES);
    assert_true(log_dropped() == before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(key_value_lines_carry_time_level_and_event),
        cmocka_unit_test(what_is_below_the_level_is_not_written),
        cmocka_unit_test(text_has_no_colour_away_from_a_terminal),
        cmocka_unit_test(text_is_coloured_on_a_terminal),
        cmocka_unit_test(auto_is_coloured_text_on_a_terminal),
        cmocka_unit_test(json_lines_hold_strings_and_whole_numbers),
        cmocka_unit_test(json_escapes_raw_bytes),
        cmocka_unit_test(the_journal_gets_fields),
        cmocka_unit_test(many_and_long_pairs_do_not_break_the_journal),
        cmocka_unit_test(without_a_journal_lines_go_to_stderr),
        cmocka_unit_test(auto_follows_journal_stream),
        cmocka_unit_test(a_full_pipe_drops_lines_and_counts_them),
        cmocka_unit_test(a_closed_pipe_a_full_disk_and_no_stderr_are_counted),
        cmocka_unit_test(sigpipe_is_ignored),
        cmocka_unit_test(a_line_stays_one_line),
        cmocka_unit_test(a_long_line_is_cut),
        cmocka_unit_test(values_from_outside_are_quoted),
        cmocka_unit_test(quoted_values_are_cut_at_every_length),
        cmocka_unit_test(pairs_are_found_in_any_text),
        cmocka_unit_test(threads_do_not_mix_their_lines),
        cmocka_unit_test(formatting_is_called_out_and_errno_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
