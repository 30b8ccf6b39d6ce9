/* LDFLAGS: -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=strdup,--wrap=asprintf */
#include "tests/unit/sockets.h"

#include <netinet/in.h>

#include "worker/runtime/stream.h"

static int stream_main(void *n, void **ret_result, struct err *e)
{
    int ends[2];
    const char *line;
    size_t len;
    char text[16];
    (void)ret_result;
    note(n, open_pair(ends));
    struct stream *s = stream_new(ends[0], 8);
    (void)put(ends[1], "ab\r\ncd\r");
    note(n, stream_read_until(s, "\r\n", &line, &len, NO_LIMIT, e));
    note(n, len == 4 && memcmp(line, "ab\r\n", 4) == 0);
    note(n, stream_read_until(s, "\r\n", &line, &len, in_ms(SHORT_MS), e));
    (void)put(ends[1], "\nefghij");
    note(n, stream_read_until(s, "\r\n", &line, &len, NO_LIMIT, e)); /* nothing was lost */
    note(n, len == 4 && memcmp(line, "cd\r\n", 4) == 0);
    note(n, stream_read_exactly(s, text, 5, NO_LIMIT, e));
    note(n, memcmp(text, "efghi", 5));
    note(n, stream_read_exactly(s, text, 9, NO_LIMIT, e)); /* beyond the limit */
    (void)put(ends[1], "0123456789");
    note(n, stream_read_until(s, "\n", &line, &len, NO_LIMIT, e));
    note(n, stream_read(s, text, sizeof text, NO_LIMIT, e));
    note(n, memcmp(text, "j0123456", 8));
    note(n, stream_write(s, "written", 7, NO_LIMIT, e));
    note(n, read(ends[1], text, sizeof text));
    io_close(loop_running(), ends[1]);
    note(n, stream_read_exactly(s, text, 4, NO_LIMIT, e));
    note(n, stream_read(s, text, sizeof text, NO_LIMIT, e));
    note(n, stream_read(s, text, sizeof text, NO_LIMIT, e));
    note(n, stream_write(s, "x", 1, NO_LIMIT, e));
    s = stream_free(s);
    return 0;
}

static void a_stream_reads_lines_and_blocks_within_its_limit(void **state)
{
    (void)state;
    EXPECT(stream_main, 0, 0, 1, -ETIMEDOUT, 0, 1, 0, 0, -EMSGSIZE, -EMSGSIZE, 8, 0, 0, 7, -ENODATA,
           3, 0, -EPIPE);
}

static int read_line(void *s, void **ret_result, struct err *e)
{
    const char *line;
    size_t len;
    (void)ret_result;
    return stream_read_until(s, "\n", &line, &len, NO_LIMIT, e);
}

static int two_readers_main(void *n, void **ret_result, struct err *e)
{
    int ends[2];
    char byte;
    (void)ret_result;
    note(n, open_pair(ends));
    struct stream *s = stream_new(ends[0], 0);
    struct task *t = task_create(read_line, s, NULL);
    note(n, turns(2));
    note(n, stream_read(s, &byte, 1, NO_LIMIT, e));
    note(n, strstr(e->text, "another task") != NULL);
    note(n, stream_write(s, "ok", 2, NO_LIMIT, e)); /* the other direction is free */
    (void)put(ends[1], "line\n");
    note(n, end_of(t));
    s = stream_free(s);
    io_close(loop_running(), ends[1]);
    return 0;
}

static void a_stream_has_one_reader(void **state)
{
    (void)state;
    EXPECT(two_readers_main, 0, 0, ERROR_RUNTIME, 1, 0, 0);
}

/* -- memory -- */

static int play_stream(void *arg, void **ret_result, struct err *e)
{
    int ends[2];
    (void)arg, (void)ret_result;
    if (open_pair(ends) < 0)
        return -errno;
    struct stream *s = stream_new(ends[0], 0);
    struct task *t = s ? task_create(read_line, s, NULL) : NULL;
    int r = t ? turns(2) : -ENOMEM;
    (void)put(ends[1], "line\n");
    if (t)
        r = end_of(t);
    if (r == 0)
        r = io_wait_writable(ends[1], in_ms(60000), e);
    if (s)
        s = stream_free(s);
    else
        io_close(loop_running(), ends[0]);
    io_close(loop_running(), ends[1]);
    return r;
}

static void no_memory_is_an_error_and_leaves_nothing_behind(void **state)
{
    (void)state;
    check_each_allocation(play_stream);
}

static int write_much(void *s, void **ret_result, struct err *e)
{
    static const char much[1 << 20];
    (void)ret_result;
    return stream_write(s, much, sizeof much, NO_LIMIT, e);
}

static int two_writers_main(void *n, void **ret_result, struct err *e)
{
    const char *data;
    size_t len;
    int ends[2];
    (void)ret_result;
    note(n, open_pair(ends));
    struct stream *s = stream_new(ends[0], 0);
    struct task *t = task_create(write_much, s, NULL);
    note(n, turns(2));
    note(n, stream_write(s, "x", 1, NO_LIMIT, e));
    note(n, strstr(e->text, "another task is still writing") != NULL);
    note(n, stream_read_until(s, "", &data, &len, NO_LIMIT, e));
    note(n, stream_fd(s) == ends[0]);
    (void)task_cancel(t);
    note(n, end_of(t));
    s = stream_free(s);
    io_close(loop_running(), ends[1]);
    return 0;
}

static void a_stream_has_one_writer(void **state)
{
    (void)state;
    EXPECT(two_writers_main, 0, 0, ERROR_RUNTIME, 1, -EINVAL, 1, -ECANCELED);
}

/* -- TCP: a connection is under way for a while, and may be refused -- */

static int tcp_main(void *n, void **ret_result, struct err *e)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t room = sizeof at;
    const int type = SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK;
    int listener = socket(AF_INET, type, 0), fd = socket(AF_INET, type, 0);
    (void)ret_result;
    note(n, bind(listener, (struct sockaddr *)&at, sizeof at));
    note(n, getsockname(listener, (struct sockaddr *)&at, &room));
    note(n, listen(listener, 1));
    note(n, io_connect(fd, (struct sockaddr *)&at, sizeof at, in_ms(60000), e));
    note(n, io_write(fd, "hi", 2, NO_LIMIT, e));
    io_close(loop_running(), fd);
    io_close(loop_running(), listener);
    fd = socket(AF_INET, type, 0);
    note(n, io_connect(fd, (struct sockaddr *)&at, sizeof at, in_ms(60000), e));
    io_close(loop_running(), fd);
    return 0;
}

static void a_connection_over_tcp_is_made_or_refused(void **state)
{
    (void)state;
    EXPECT(tcp_main, 0, 0, 0, 0, 2, -ECONNREFUSED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stream_reads_lines_and_blocks_within_its_limit),
        cmocka_unit_test(a_stream_has_one_reader),
        cmocka_unit_test(a_stream_has_one_writer),
        cmocka_unit_test(a_connection_over_tcp_is_made_or_refused),
        cmocka_unit_test(no_memory_is_an_error_and_leaves_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
