/* plugin_io.c - descriptors, streams and child processes: the runtime's, under the names of
 * rpopd_plugin.h. */
#include "worker/handler/plugin.h"
#include "worker/runtime/io.h"
#include "worker/runtime/process.h"
#include "worker/runtime/stream.h"

static_assert(RPOPD_STDIN == PROCESS_STDIN && RPOPD_STDOUT == PROCESS_STDOUT &&
                  RPOPD_STDERR == PROCESS_STDERR,
              "rpopd_plugin.h has the runtime's numbers");

int rpopd_wait_readable(int fd, int64_t deadline_ms, struct rpopd_error *e)
{
    return io_wait_readable(fd, deadline_ms, plugin_err(e));
}

int rpopd_wait_writable(int fd, int64_t deadline_ms, struct rpopd_error *e)
{
    return io_wait_writable(fd, deadline_ms, plugin_err(e));
}

ssize_t rpopd_read(int fd, void *to, size_t room, int64_t deadline_ms, struct rpopd_error *e)
{
    return io_read(fd, to, room, deadline_ms, plugin_err(e));
}

ssize_t rpopd_write(int fd, const void *data, size_t len, int64_t deadline_ms,
                    struct rpopd_error *e)
{
    return io_write(fd, data, len, deadline_ms, plugin_err(e));
}

int rpopd_connect(int fd, const struct sockaddr *address, socklen_t len, int64_t deadline_ms,
                  struct rpopd_error *e)
{
    return io_connect(fd, address, len, deadline_ms, plugin_err(e));
}

void rpopd_close(int fd)
{
    io_close(loop_running(), fd);
}

/* ---- streams ---- */

static struct stream *stream(struct rpopd_stream *s)
{
    return (struct stream *)(void *)s;
}

struct rpopd_stream *rpopd_stream_new(int fd, size_t limit)
{
    return (struct rpopd_stream *)(void *)stream_new(fd, limit);
}

void rpopd_stream_free(struct rpopd_stream *s)
{
    (void)stream_free(stream(s));
}

ssize_t rpopd_stream_read(struct rpopd_stream *s, void *to, size_t room, int64_t deadline_ms,
                          struct rpopd_error *e)
{
    return stream_read(stream(s), to, room, deadline_ms, plugin_err(e));
}

int rpopd_stream_read_exactly(struct rpopd_stream *s, void *to, size_t len, int64_t deadline_ms,
                              struct rpopd_error *e)
{
    return stream_read_exactly(stream(s), to, len, deadline_ms, plugin_err(e));
}

int rpopd_stream_read_until(struct rpopd_stream *s, const char *end, const char **data, size_t *len,
                            int64_t deadline_ms, struct rpopd_error *e)
{
    return stream_read_until(stream(s), end, data, len, deadline_ms, plugin_err(e));
}

int rpopd_stream_write(struct rpopd_stream *s, const void *data, size_t len, int64_t deadline_ms,
                       struct rpopd_error *e)
{
    return stream_write(stream(s), data, len, deadline_ms, plugin_err(e));
}

/* ---- child processes ---- */

static struct process *process(struct rpopd_process *p)
{
    return (struct process *)(void *)p;
}

struct rpopd_process *rpopd_process_spawn(const char *const argv[], const char *const envp[],
                                          unsigned pipes, struct rpopd_error *e)
{
    return (struct rpopd_process *)(void *)process_spawn(argv, envp, pipes, plugin_err(e));
}

void rpopd_process_free(struct rpopd_process *p)
{
    (void)process_free(process(p));
}

pid_t rpopd_process_pid(const struct rpopd_process *p)
{
    return process_pid((const struct process *)(const void *)p);
}

int rpopd_process_take_pipe(struct rpopd_process *p, int number)
{
    return process_take_pipe(process(p), number);
}

int rpopd_process_signal(struct rpopd_process *p, int signal)
{
    return process_signal(process(p), signal);
}

int rpopd_process_wait(struct rpopd_process *p, int64_t deadline_ms, int *status,
                       struct rpopd_error *e)
{
    return process_wait(process(p), deadline_ms, status, plugin_err(e));
}
