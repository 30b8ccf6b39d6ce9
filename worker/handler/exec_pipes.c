#include "worker/handler/exec_pipes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/callout.h"
#include "worker/runtime/io.h"
#include "worker/runtime/watch_fd.h"

#define CHUNK ((size_t)65536)
#define LAST_BYTES_MAX                                                        \
    ((size_t)4 << 20) /* what a pipe may hold, and more than it holds usually \
                       */
#define WRITES_MAX 16 /* in a turn: others have theirs too */
#define RESULT_FIRST ((size_t)4096)

/* The payload -----------------------------------------------------------------------------------
 */

static void close_input(struct exec_pipes *p)
{
    io_close(p->loop, p->in);
    p->in = -1;
}

/* True: there is more, for another time. */
static bool write_some(struct exec_pipes *p)
{
    for (int i = 0; p->written < p->job->len; i++) {
        if (i == WRITES_MAX)
            return true;
        ssize_t n = write(p->in, p->job->payload + p->written, p->job->len - p->written);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno != EPIPE; /* it does not want it; else no room, or no memory for it */
        p->written += (size_t)n;
    }
    return false;
}

static void on_room(void *arg)
{
    struct exec_pipes *p = arg;
    if (!write_some(p))
        close_input(p);
}

/* Output ----------------------------------------------------------------------------------------
 */

static void keep_result(struct exec_pipes *p, const char *bytes, size_t n)
{
    size_t limit = (size_t)p->job->conf->max_payload;
    if (n > limit - p->result_len)
        p->result_too_large = true;
    if (p->result_too_large || p->short_of_memory)
        return;
    if (p->result_len + n > p->result_room) {
        size_t room = p->result_room ? p->result_room * 2 : RESULT_FIRST;
        while (room < p->result_len + n)
            room *= 2;
        if (room > limit)
            room = limit;
        char *result = realloc(p->result, room);
        p->short_of_memory = !result;
        if (!result)
            return;
        p->result = result;
        p->result_room = room;
    }
    memcpy(p->result + p->result_len, bytes, n);
    p->result_len += n;
}

static void take(struct exec_reader *r, const char *bytes, size_t n)
{
    struct exec_pipes *p = r->pipes;
    if (r->number == EXEC_CONTROL_PIPE) {
        control_take(&p->control, bytes, n);
        return;
    }
    if (r->number == STDOUT_FILENO && p->wants_result)
        keep_result(p, bytes, n);
    output_take(&p->output, r->number == STDOUT_FILENO ? OUTPUT_STDOUT : OUTPUT_STDERR, bytes, n);
}

static void close_reader(struct exec_reader *r)
{
    io_close(r->pipes->loop, r->fd);
    r->fd = -1;
}

/* Bytes; 0: there is nothing now, or the pipe was closed. */
static size_t read_some(struct exec_reader *r)
{
    char bytes[CHUNK];
    ssize_t n = read(r->fd, bytes, sizeof bytes);
    if (n > 0)
        take(r, bytes, (size_t)n);
    else if (n == 0 || (errno != EAGAIN && errno != EINTR))
        close_reader(r);
    return n > 0 ? (size_t)n : 0;
}

static void on_bytes(void *arg)
{
    (void)read_some(arg);
}

/* Whole -----------------------------------------------------------------------------------------
 */

int exec_pipes_watch(struct exec_pipes *p, struct err *e)
{
    int r = 0;
    for (size_t i = 0; i < sizeof p->readers / sizeof *p->readers && r == 0; i++)
        r = loop_add_reader(p->loop, p->readers[i].fd, on_bytes, &p->readers[i], e);
    return r;
}

int exec_pipes_open(struct exec_pipes *p, struct job *j, struct process *process, struct err *e)
{
    *p = (struct exec_pipes){.loop = loop_running(), .job = j, .wants_result = job_wants_result(j)};
    p->in = process_take_pipe(process, STDIN_FILENO);
    for (int i = 0; i < 3; i++)
        p->readers[i] = (struct exec_reader){p, i + 1, process_take_pipe(process, i + 1)};
    output_init(&p->output, j);
    control_init(&p->control);
    if (!write_some(p)) {
        close_input(p);
        return 0;
    }
    int r = loop_add_writer(p->loop, p->in, on_room, p, e);
    if (r < 0)
        exec_pipes_close(p);
    return r;
}

static void read_the_rest(void *arg)
{
    struct exec_pipes *p = arg;
    for (size_t i = 0; i < sizeof p->readers / sizeof *p->readers; i++) {
        struct exec_reader *r = &p->readers[i];
        size_t n = 1;
        for (size_t all = 0; n > 0 && r->fd >= 0 && all < LAST_BYTES_MAX; all += n)
            n = read_some(r);
    }
    output_end(&p->output);
    control_end(&p->control);
}

void exec_pipes_end(struct exec_pipes *p)
{
    callout(read_the_rest, p);
}

void exec_pipes_close(struct exec_pipes *p)
{
    close_input(p);
    for (size_t i = 0; i < sizeof p->readers / sizeof *p->readers; i++)
        close_reader(&p->readers[i]);
    output_deinit(&p->output);
    free(p->result);
    p->result = NULL;
}
